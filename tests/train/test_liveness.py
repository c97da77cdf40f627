"""Who answers is told from who does not; nobody waits for ever for who never comes."""

import socket
import subprocess
import sys
import threading
import time

import pytest
import tensorflow as tf
from tiny import ROOT

from train_tf.distributed import liveness as answers


@pytest.mark.parametrize(("word", "silent"), [(b"x", []), (b"", [1])])
def test_worker_that_says_nothing_is_silent(word, silent):
    with socket.create_server(("localhost", 0)) as server:

        def say():
            connection, _ = server.accept()
            connection.sendall(word)
            time.sleep(4)

        threading.Thread(target=say, daemon=True).start()
        assert (
            answers.unanswering({1: f"localhost:{server.getsockname()[1]}"}) == silent
        )


def test_grpc_server_answers():
    server = tf.distribute.Server(
        tf.train.ClusterSpec({"worker": ["localhost:0"]}), "worker", 0
    )
    assert not answers.unanswering({0: server.target.removeprefix("grpc://")})


def wait(seconds, patience):
    """A process that is stuck for so long, beside a guard with so much patience."""
    script = (
        "import time; from train_tf.distributed.liveness import patience\n"
        f"with patience(['localhost:1', 'localhost:2'], 0, {patience}):\n"
        f"    time.sleep({seconds})\n"
        "print('it came')"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_process_that_waits_too_long_is_ended_in_a_sentence():
    done = wait(600, patience=1)
    assert done.returncode == -9 and done.stdout == ""
    assert done.stderr.startswith("error: The 2 workers of TF_CONFIG did not come")
    assert "within 1 seconds. No answer from: worker 1 (localhost:2)" in done.stderr


def test_process_that_does_not_is_left_alone():
    done = wait(0.1, patience=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "it came\n", "")
