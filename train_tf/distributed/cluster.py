"""Several workers of one training: GPUs of this machine, or of several machines.

TensorFlow's strategies do the work (`tf.distribute`). Every worker runs the same
program on the same data. The first of them, the chief, is alone in writing files and
saying how it goes; what the others need to know of the run folder it sends them, so
they need no folder in common. When one is lost, the others say so.
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
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context as eager_context

from train_tf.command_line import TRY_AGAIN
from train_tf.distributed.liveness import did_not_come, named, patience, unanswering
from train_tf.errors import InputError, WorkerLost

START_SECONDS = 300  # for all workers to have come
SILENT_SECONDS = 20  # after which a worker is taken for lost
STUCK_SECONDS = 3600  # without a step; the longest is for the chief's tests at the end

TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["host-0:3333", "host-1:3333"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def choose(name):
    """The `tf.distribute` strategy that a name stands for.

    It has to be the first thing that a program does with TensorFlow.

    Args:
        name: "one" replica; "mirrored", a replica on each GPU of this machine;
            "multiworker", on those of all machines that TF_CONFIG names; "auto", what
            there is.

    Raises:
        InputError: if TF_CONFIG is needed and is not in order.
        WorkerLost: if the other workers do not come.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        several = "mirrored" if len(gpus) > 1 else "one"
        name = "multiworker" if os.getenv("TF_CONFIG") else several
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    return _join_cluster(*_cluster())


def check_alone(what, strategy="auto"):
    """Refuse to do as one of several workers what is for one process.

    Args:
        what: what is done, for the message.
        strategy: as `choose` takes it.

    Raises:
        InputError: if TF_CONFIG names workers, or the strategy asks for them.
    """
    several = strategy == "auto" and os.getenv("TF_CONFIG")
    if several or strategy == "multiworker":
        given = (
            "a TF_CONFIG in the environment" if several else "--strategy multiworker"
        )
        raise InputError(
            f"Expected no workers of one training for {what}. Received: {given}."
        )


def is_chief(strategy):
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id == 0


def from_chief(content, strategy):
    """Give every worker the bytes that the chief has.

    Args:
        content: bytes; whatever the others have is not looked at.
    """
    if strategy.cluster_resolver is None:
        return content

    WATCHDOG.note()
    # What all gather: the chief's bytes, as whole numbers, and nothing of the others. A
    # byte before them, because TensorFlow breaks down where there is nothing at all.
    content = b"." + content if is_chief(strategy) else b""
    own = np.frombuffer(content, "uint8").astype("int32")
    first = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            own if context.replica_id_in_sync_group == 0 else own[:0]
        )
    )
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # it is compiled for each length, which would be warned of
    try:
        gathered = strategy.gather(first, axis=0)
    finally:
        logger.setLevel(level)
    return gathered.numpy().astype("uint8").tobytes()[1:]


def own_share(items):
    """Those of a list that this worker sees to; all, if TF_CONFIG names no workers.

    For work of which each piece is by itself: the workers do not meet.

    Raises:
        InputError: if TF_CONFIG is not in order.
    """
    if not os.getenv("TF_CONFIG"):
        return items
    workers, index = _cluster()
    return items[index :: len(workers)]


# What a worker runs into by itself: to start again would not help.
OWN_TROUBLE = (
    tf.errors.ResourceExhaustedError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
    tf.errors.PermissionDeniedError,
)


class Watchdog:
    """When this worker last got on; ends the process when that is too long ago.

    TensorFlow's own time-out of an exchange keeps a thread for each of them until it is
    over: thousands after a few steps.
    """

    def __init__(self):
        self.last = time.monotonic()

    def note(self):
        """This worker got on."""
        self.last = time.monotonic()

    def watch(self, stop, others):
        """Until `stop`, a `threading.Event`, is set.

        Args:
            others: number to address of the other workers, which are called upon when
                this one does not get on.
        """
        self.note()
        while not stop.wait(1):
            seconds = time.monotonic() - self.last
            lost = seconds > SILENT_SECONDS and unanswering(others)
            if lost or seconds > STUCK_SECONDS:
                why = f"no worker got on for {seconds:.0f} seconds"
                _end_process(_told(lost, others, why))


WATCHDOG = Watchdog()


@contextlib.contextmanager
def watched(strategy):
    """Say in a sentence, as `WorkerLost`, that another worker is gone or stuck."""
    if strategy.cluster_resolver is None:
        yield
        return
    others, stop = _others(strategy.cluster_resolver), threading.Event()
    threading.Thread(target=WATCHDOG.watch, args=(stop, others), daemon=True).start()
    try:
        yield
    except tf.errors.OpError as error:
        lines = [line.strip() for line in error.message.splitlines() if line.strip()]
        why = next((line for line in lines if "aborted" in line), "".join(lines[:1]))
        told = re.findall(r"/job:worker/(?:replica:0/)?task:(\d+)", error.message)
        lost = unanswering(others) or sorted({*map(int, told)} & set(others))
        if not lost and isinstance(error, OWN_TROUBLE):
            raise
        raise WorkerLost(_told(lost, others, f"TensorFlow says: {why}")) from error
    finally:
        stop.set()


def _cluster():
    """The addresses of the workers, and which of them this one is."""
    text = os.getenv("TF_CONFIG")
    if not text:
        raise InputError(
            "--strategy multiworker needs TF_CONFIG in the environment, for example "
            f"{TF_CONFIG_EXAMPLE}. To try it on one machine: python "
            "scripts/launch_local.py --workers 2 -- python scripts/train_unet.py"
        )
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        in_order = (
            set(config["cluster"]) == {"worker"}
            and task["type"] == "worker"
            and 0 <= index < len(workers)
            and all(re.fullmatch(r".+:\d+", address) for address in workers)
            and len(set(workers)) == len(workers)
        )
    except (ValueError, KeyError, TypeError):
        in_order = False
    if not in_order:
        raise InputError(
            "Expected TF_CONFIG to name all workers, each once, and which one this is: "
            f"{TF_CONFIG_EXAMPLE}. Received: {text}"
        )
    return tuple(workers), index


@functools.cache  # a process joins once
def _join_cluster(workers, index):
    # As the strategy does it by itself, but with times after which a person is told.
    eager_context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(
                name="worker", num_tasks=len(workers)
            )
        ],
        cluster_register_timeout_in_ms=1000 * START_SECONDS,
        heartbeat_timeout_in_ms=1000 * SILENT_SECONDS,
        shutdown_barrier_timeout_in_ms=1000 * SILENT_SECONDS,
    )

    try:
        with patience(workers, index, START_SECONDS):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkerLost(
            f"{did_not_come(workers, index, START_SECONDS)} {error.message}"
        ) from error
    if index:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return strategy


def _others(resolver):
    """Number to address of the other workers."""
    workers = resolver.cluster_spec().as_dict()["worker"]
    return {n: x for n, x in enumerate(workers) if n != resolver.task_id}


def _end_process(message):
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(TRY_AGAIN)  # a thread that is stuck in TensorFlow cannot be stopped


def _told(lost, others, why):
    who = named(lost or (), others) or "another worker"
    return (
        f"Lost {who}; the epochs before are kept. Start all "
        f"workers again with --resume. {why}"
    )
