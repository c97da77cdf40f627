"""The workers of a training, on one machine or on several.

`tf.distribute` does the work. Every worker runs the same program on the same data.
Only the first one, the chief, writes files and prints progress; it sends the others
what they need of the run folder, so they need no access to it. When a worker is lost,
the others end with a message that names it.
"""

import contextlib
import functools
import json
import os
import re
import sys
import threading
import time

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context as eager_context

from train_tf.command_line import EX_TEMPFAIL
from train_tf.distributed.liveness import (
    describe_workers,
    find_silent,
    start_message,
    start_timeout,
)
from train_tf.errors import InputError, WorkerLost

START_SECONDS = 300  # for all workers to connect
SILENT_SECONDS = 20  # without a heartbeat or an answer: the worker is lost
STUCK_SECONDS = 3600  # without a step; the chief's test and export take longest

TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["host-0:3333", "host-1:3333"]}, '
    '"task": {"type": "worker", "index": 0}}'
)

# Errors of this worker itself, which a restart would not mend.
LOCAL_ERRORS = (
    tf.errors.ResourceExhaustedError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
    tf.errors.PermissionDeniedError,
)


def join(name):
    """Choose a distribution strategy and connect to the other workers, if any.

    Call it before anything else that uses TensorFlow's devices.

    Args:
        name: "one" device; "mirrored", all GPUs of this machine; "multiworker", the
            workers that TF_CONFIG names; "auto", all that are available.

    Returns:
        `Workers`.

    Raises:
        InputError: if TF_CONFIG is needed and is missing or invalid.
        WorkerLost: if the other workers do not connect.
    """
    if name == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        on_one_machine = "mirrored" if len(gpus) > 1 else "one"
        name = "multiworker" if os.getenv("TF_CONFIG") else on_one_machine
    if name == "multiworker":
        return Workers(_connect(*_read_tf_config()))
    if name == "mirrored":
        return Workers(tf.distribute.MirroredStrategy())
    return Workers(tf.distribute.get_strategy())


class Workers:
    """The workers that train together, as this one of them sees them.

    Args:
        strategy: a `tf.distribute.Strategy`.

    Attributes:
        strategy: the same.
        is_chief: whether this worker writes files and prints progress.
        is_alone: whether there are no other workers.
    """

    def __init__(self, strategy):
        self.strategy = strategy
        resolver = strategy.cluster_resolver  # None without TF_CONFIG
        index = resolver.task_id if resolver else 0
        addresses = resolver.cluster_spec().as_dict()["worker"] if resolver else []
        self._others = {n: x for n, x in enumerate(addresses) if n != index}
        self.is_chief, self.is_alone = index == 0, not self._others

    def from_chief(self, content):
        """Send bytes to every worker: returns the `content` of the chief's call."""
        if self.is_alone:
            return content
        WATCHDOG.report_progress()
        # The first replica is the chief's. One byte goes before the content, because
        # TensorFlow fails to gather an empty tensor.
        content = np.frombuffer(b"." + content, "uint8").astype("int32")
        values = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                content if context.replica_id_in_sync_group == 0 else content[:0]
            )
        )
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel("ERROR")  # no warning that each length is compiled anew
        try:
            gathered = self.strategy.gather(values, axis=0)
        finally:
            logger.setLevel(level)
        return gathered.numpy().astype("uint8").tobytes()[1:]

    @contextlib.contextmanager
    def watched(self):
        """Inside this context, raise `WorkerLost` when another worker is lost.

        If this worker hangs because of it, the process ends with the same message.
        """
        if self.is_alone:
            yield
            return
        stop = threading.Event()
        watched = stop, self._others
        threading.Thread(target=WATCHDOG.watch, args=watched, daemon=True).start()
        try:
            yield
        except tf.errors.OpError as error:
            lines = [x.strip() for x in error.message.splitlines() if x.strip()]
            reason = next((x for x in lines if "aborted" in x), "".join(lines[:1]))
            task = r"/job:worker/(?:replica:0/)?task:(\d+)"
            mentioned = set(map(int, re.findall(task, error.message)))
            lost = find_silent(self._others) or sorted(mentioned & set(self._others))
            if not lost and isinstance(error, LOCAL_ERRORS):
                raise
            message = _lost_message(lost, self._others, f"TensorFlow: {reason}")
            raise WorkerLost(message) from error
        finally:
            stop.set()


class Watchdog:
    """Ends this process if it makes no progress because another worker is lost.

    TensorFlow's own timeout keeps a thread for each all-reduce: thousands after a few
    steps.
    """

    def __init__(self):
        self.last = time.monotonic()

    def report_progress(self):
        """Record that this worker made progress."""
        self.last = time.monotonic()

    def watch(self, stop, others):
        """Watch until `stop`, a `threading.Event`, is set.

        `others` maps the numbers of the other workers to their addresses.
        """
        self.report_progress()
        while not stop.wait(1):
            seconds = time.monotonic() - self.last
            lost = seconds > SILENT_SECONDS and find_silent(others)
            if lost or seconds > STUCK_SECONDS:
                reason = f"No progress for {seconds:.0f} seconds."
                message = _lost_message(lost or [], others, reason)
                print(f"error: {message}", file=sys.stderr, flush=True)
                os._exit(EX_TEMPFAIL)  # no exception reaches a thread inside TensorFlow


WATCHDOG = Watchdog()


def check_alone(what, strategy="auto"):
    """Raise `InputError` if this process is a worker of a multi-worker training.

    Args:
        what: what the process does, for the message.
        strategy: as for `join`.

    Raises:
        InputError: if TF_CONFIG names workers, or the strategy needs them.
    """
    if strategy == "auto" and os.getenv("TF_CONFIG"):
        received = "a TF_CONFIG in the environment"
    elif strategy == "multiworker":
        received = "--strategy multiworker"
    else:
        return
    raise InputError(f"Expected no training workers for {what}. Received: {received}.")


def share_of_this_worker(items):
    """The items of a list, the same for all workers, that this one processes.

    Returns:
        Every n-th item for n workers; all of them without a TF_CONFIG.

    Raises:
        InputError: if TF_CONFIG is invalid.
    """
    if not os.getenv("TF_CONFIG"):
        return items
    addresses, index = _read_tf_config()
    return items[index :: len(addresses)]


def _read_tf_config():
    """The addresses of all workers, and the index of this one."""
    text = os.getenv("TF_CONFIG")
    if not text:
        raise InputError(
            "--strategy multiworker needs TF_CONFIG in the environment, for example "
            f"{TF_CONFIG_EXAMPLE}. To try it on one machine: python "
            "scripts/launch_local.py --workers 2 -- python scripts/train_unet.py"
        )
    try:
        config = json.loads(text)
        addresses, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        valid = (
            set(config["cluster"]) == {"worker"}
            and task["type"] == "worker"
            and 0 <= index < len(addresses)
            and all(re.fullmatch(r".+:\d+", address) for address in addresses)
            and len(set(addresses)) == len(addresses)
        )
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InputError(
            "Expected TF_CONFIG to list each worker once and to give the index of this "
            f"one: {TF_CONFIG_EXAMPLE}. Received: {text}"
        )
    return tuple(addresses), index


@functools.cache  # a process can connect only once
def _connect(addresses, index):
    """The strategy of these workers, with shorter timeouts than TensorFlow's."""
    # TensorFlow has no public way to set them.
    eager_context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=len(addresses))],
        cluster_register_timeout_in_ms=1000 * START_SECONDS,
        heartbeat_timeout_in_ms=1000 * SILENT_SECONDS,
        shutdown_barrier_timeout_in_ms=1000 * SILENT_SECONDS,
    )
    try:
        with start_timeout(addresses, index, START_SECONDS):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        message = start_message(addresses, index, START_SECONDS)
        raise WorkerLost(f"{message} {error.message}") from error
    if index:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return strategy


def _lost_message(lost, others, reason):
    return (
        f"Lost {describe_workers(lost, others) or 'another worker'}; finished epochs "
        f"are saved. Start all workers again with --resume. {reason}"
    )
