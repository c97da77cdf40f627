"""Several workers of one training, or of one search, on one machine."""

import json
import os
import shutil
import socket
import subprocess
import time

from train_tf.command_line import TRY_AGAIN
from train_tf.errors import InputError

HAS_SHARES = hasattr(os, "sched_setaffinity")  # macOS has not
GRACE_SECONDS = 60  # for the others to end by themselves when one has failed
# Going on, ended well, or ended with something to tell that is its own affair.
ENDED_BY_ITSELF = (None, 0, 1)


def of_training(workers):
    """Each worker's TF_CONFIG, the chief's first."""
    cluster = {"worker": _free_addresses(workers)}
    tasks = [{"type": "worker", "index": index} for index in range(workers)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks
    ]


def of_search(workers):
    """What keras-tuner asks for: of workers, and of one more that hands out trials."""
    (address,) = _free_addresses(1)
    names = [*(f"worker-{index}" for index in range(workers)), "chief"]
    host, port = address.split(":")
    return [
        {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": host,
            "KERASTUNER_ORACLE_PORT": port,
        }
        for name in names
    ]


def launch(command, workers, restarts=0, places=of_training):
    """Run a command as several workers until all have ended.

    Args:
        command: a program and its arguments.
        workers: how many there shall be.
        restarts: how often all are started again when one of them was lost.
        places: function from the number of workers to the environment variables of
            each process, `of_training` or `of_search`.

    Returns:
        0 if all workers ended well, else the exit status of the first that did not.

    Raises:
        InputError: if there is no such program.
    """
    if not command:
        raise InputError("Expected a command after --. Received none.")
    if not shutil.which(command[0]):
        raise InputError(f"Expected a program after --. There is no {command[0]}.")
    if not 1 <= workers <= 64:
        raise InputError(f"Expected --workers from 1 to 64. Received: {workers}")
    if restarts < 0:
        raise InputError(f"Expected --restarts of 0 or more. Received: {restarts}")
    for left in range(restarts, -1, -1):
        status = _run_once(command, places(workers), workers)
        # Below 0: ended by a signal.
        if left and (status == TRY_AGAIN or status < 0):
            print(f"A worker was lost; starting all again, {left - 1} times left.")
        else:
            break
    return status if status >= 0 else 128 - status


def _run_once(command, places, workers):
    processors = sorted(os.sched_getaffinity(0)) if HAS_SHARES else []
    started = []
    try:
        for index, place in enumerate(places):
            # Fewer processors than workers: each takes what the others leave.
            share = processors[index % workers :: workers] or processors
            _take(share)  # which the worker inherits
            started.append(subprocess.Popen(command, env={**os.environ, **place}))
        return _wait(started)
    finally:
        _take(processors)
        for process in started:
            process.kill()
            process.wait()


def _take(processors):
    if HAS_SHARES:
        os.sched_setaffinity(0, processors)


def _wait(processes):
    """The first exit status that is not 0, or 0."""
    failed, deadline = 0, None
    while True:
        ended = [process.poll() for process in processes]
        failed = failed or next(filter(None, ended), 0)
        if deadline is None and any(x not in ENDED_BY_ITSELF for x in ended):
            deadline = time.monotonic() + GRACE_SECONDS
        all_ended = None not in ended
        if all_ended or (deadline and time.monotonic() > deadline):
            return failed
        time.sleep(0.2)


def _free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("localhost", 0))
        return [f"localhost:{one.getsockname()[1]}" for one in sockets]
    finally:
        for one in sockets:
            one.close()
