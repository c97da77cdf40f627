"""Start several workers of one training or search on this machine."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time

from train_tf.errors import InputError

GRACE_SECONDS = 60  # for the other workers to end after one has failed
# The others go on while a worker runs, or after it ended well or with an error of its
# own, such as an unreadable image.
HARMLESS = (None, 0, 1)


def training_environments(workers):
    """Environment variables of the workers of one training, the chief's first."""
    cluster = {"worker": _free_addresses(workers)}
    tasks = [{"type": "worker", "index": index} for index in range(workers)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks
    ]


def search_environments(workers):
    """Environment variables of keras-tuner's workers, and last of its chief."""
    host, port = _free_addresses(1)[0].split(":")
    names = [*(f"worker-{index}" for index in range(workers)), "chief"]
    return [
        {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": host,
            "KERASTUNER_ORACLE_PORT": port,
        }
        for name in names
    ]


def launch(command, workers, environments=training_environments):
    """Run a command as several workers until all have ended.

    When one is killed or exits with a status above 1, the others have 60 seconds to
    end.

    Args:
        command: a program and its arguments.
        workers: from 1 to 64.
        environments: function from the number of workers to the environment variables
            of each process.

    Returns:
        0 if all processes ended with 0, else the first other exit status seen; for a
        process that was killed by a signal, 128 plus its number.

    Raises:
        InputError: if there is no such program, or too few or many workers.
    """
    if not command:
        raise InputError("Expected a command after --. Received none.")
    if not shutil.which(command[0]):
        raise InputError(f"Expected a program after --. There is no {command[0]}.")
    if not 1 <= workers <= 64:
        raise InputError(f"Expected --workers from 1 to 64. Received: {workers}")
    processes = []
    try:
        for variables in environments(workers):
            environment = {**os.environ, **variables}
            processes.append(subprocess.Popen(command, env=environment))
        return _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes):
    failed, deadline = 0, None
    while True:
        statuses = [process.poll() for process in processes]
        failed = failed or next(filter(None, statuses), 0)
        if deadline is None and any(x not in HARMLESS for x in statuses):
            deadline = time.monotonic() + GRACE_SECONDS
        if None not in statuses or (deadline and time.monotonic() > deadline):
            return failed if failed >= 0 else 128 - failed
        time.sleep(0.2)


def _free_addresses(count):
    with contextlib.ExitStack() as stack:
        servers = (socket.create_server(("localhost", 0)) for _ in range(count))
        sockets = [stack.enter_context(server) for server in servers]
        return [f"localhost:{x.getsockname()[1]}" for x in sockets]
