"""Which workers answer, and the time limit for all to connect."""

import socket
import subprocess
import sys
import threading
import time

import pytest
import tensorflow as tf
from tiny import ROOT

from train_tf.distributed import liveness


@pytest.mark.parametrize(("reply", "silent"), [(b"x", []), (b"", [1])])
def test_worker_that_does_not_reply_is_silent(reply, silent):
    with socket.create_server(("localhost", 0)) as server:

        def serve():
            connection, _ = server.accept()
            connection.sendall(reply)
            time.sleep(4)

        threading.Thread(target=serve, daemon=True).start()
        address = f"localhost:{server.getsockname()[1]}"
        assert liveness.find_silent({1: address}) == silent


def test_grpc_server_answers():
    server = tf.distribute.Server(
        tf.train.ClusterSpec({"worker": ["localhost:0"]}), "worker", 0
    )
    assert not liveness.find_silent({0: server.target.removeprefix("grpc://")})


def wait(seconds, timeout):
    """Run a process that blocks for some seconds under a time limit."""
    script = (
        "import time; from train_tf.distributed.liveness import start_timeout\n"
        f"with start_timeout(['localhost:1', 'localhost:2'], 0, {timeout}):\n"
        f"    time.sleep({seconds})\n"
        "print('connected')"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_process_that_waits_too_long_is_killed_with_a_message():
    done = wait(600, timeout=1)
    assert done.returncode == -9 and done.stdout == ""
    assert done.stderr.startswith(
        "error: The 2 workers of TF_CONFIG did not connect within 1 seconds. Workers "
        "that do not answer now: worker 1 (localhost:2)."
    )


def test_process_within_the_time_limit_is_left_alone():
    done = wait(0.1, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "connected\n", "")
