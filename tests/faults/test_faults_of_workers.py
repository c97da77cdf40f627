"""A lost worker is named within a minute, and the training can be resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from faults.training import RESUMED, ROOT, SMALL
from weight_files import assert_same_weights

pytestmark = pytest.mark.slow

NOTICED = 60  # seconds within which the other worker must end


class Workers:
    """Two workers of one training, each in its own folder.

    Args:
        folder: parent of both folders.
        addresses: of the workers; by default free ports of this machine.
        prefixes: for each worker, what goes before its command.
    """

    def __init__(self, folder, addresses=None, prefixes=((), ())):
        self.folder = folder
        addresses = addresses or [f"localhost:{free_port()}" for _ in range(2)]
        self.processes = []
        for index, prefix in enumerate(prefixes):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            cwd = folder / str(index)
            cwd.mkdir(parents=True, exist_ok=True)
            self.processes.append(
                subprocess.Popen(
                    [
                        *prefix,
                        sys.executable,
                        ROOT / "scripts/train_unet.py",
                        *SMALL,
                        "--resume",
                        "--precision=float32",
                    ],
                    cwd=cwd,
                    env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        self.checkpoints = folder / "0/runs/small/checkpoints"

    def wait_for_epoch(self, epoch):
        deadline = time.monotonic() + 300
        while not (self.checkpoints / f"epoch-{epoch:04d}").exists():
            statuses = [process.poll() for process in self.processes]
            assert statuses == [None, None] and time.monotonic() < deadline
            time.sleep(0.01)

    def end(self, index, seconds):
        output, errors = self.processes[index].communicate(timeout=seconds)
        return self.processes[index].returncode, errors

    @property
    def last(self):
        return self.checkpoints / "epoch-0004"


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The last checkpoint of two workers without a failure."""
    workers = Workers(tmp_path_factory.mktemp("expected"))
    for index in range(2):
        status, errors = workers.end(index, 300)
        assert status == 0, errors
    assert not (workers.folder / "1/runs").exists()
    assert not (workers.folder / "1/saved_models").exists()
    return workers.last


def assert_named_and_resumed(workers, lost, expected):
    """The other worker ends with a message; both can be started again."""
    start = time.monotonic()
    status, errors = workers.end(1 - lost, NOTICED)
    seconds = time.monotonic() - start
    assert status == 75, errors
    assert f"Lost worker {lost} (" in errors and "Traceback" not in errors, errors
    workers.processes[lost].kill()
    workers.processes[lost].communicate()
    assert_resumes(Workers(workers.folder), expected)
    return f"named by the other in {seconds:.0f} s; {RESUMED}"


def assert_resumes(workers, expected):
    for index in range(2):
        status, errors = workers.end(index, 300)
        assert status == 0, errors
    assert_same_weights(workers.last, expected)


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_lost_worker(sent, lost, expected, tmp_path, record):
    workers = Workers(tmp_path)
    workers.wait_for_epoch(2)
    workers.processes[lost].send_signal(sent)
    outcome = assert_named_and_resumed(workers, lost, expected)
    failure = "killed" if sent == signal.SIGKILL else "suspended (SIGSTOP)"
    record(f"worker {lost} of 2 {failure}", 1, outcome)


def ip(*command):
    done = subprocess.run(["ip", *command], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs network namespaces: {done.stderr}")


@pytest.fixture
def two_hosts():
    """Two connected network namespaces: a name and an interface of each."""
    names = [f"host{os.getpid()}-{index}" for index in range(2)]
    for name in names:
        ip("netns", "add", name)
    ends = [f"v{os.getpid()}-{index}" for index in range(2)]
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for index, (name, end) in enumerate(zip(names, ends, strict=True)):
        ip("link", "set", end, "netns", name)
        ip("-n", name, "addr", "add", f"10.99.0.{index + 1}/24", "dev", end)
        ip("-n", name, "link", "set", end, "up")
        ip("-n", name, "link", "set", "lo", "up")
    yield list(zip(names, ends, strict=True))
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_disconnected_worker(two_hosts, expected, tmp_path, record):
    addresses = ["10.99.0.1:3333", "10.99.0.2:3333"]
    prefixes = [("ip", "netns", "exec", name) for name, _ in two_hosts]
    workers = Workers(tmp_path, addresses, prefixes)
    workers.wait_for_epoch(2)
    name, end = two_hosts[1]
    ip("-n", name, "link", "set", end, "down")
    start = time.monotonic()
    for index in range(2):
        status, errors = workers.end(index, NOTICED)
        assert status == 75, errors
        assert f"Lost worker {1 - index} (" in errors and "Traceback" not in errors
    seconds = time.monotonic() - start
    ip("-n", name, "link", "set", end, "up")
    assert_resumes(Workers(tmp_path, addresses, prefixes), expected)
    record(
        "network between two workers cut",
        1,
        f"each named the other in {seconds:.0f} s; {RESUMED}",
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_worker_that_never_starts(missing, record):
    """With 5 seconds to connect instead of 300."""
    script = (
        "import sys; from train_tf import command_line;"
        "from train_tf.distributed import cluster;"
        "command_line.start_tensorflow(); cluster.START_SECONDS = 5;"
        "sys.exit(command_line.run(__import__('dataclasses').make_dataclass('C', []),"
        " lambda _: cluster.join('auto')))"
    )
    addresses = [f"localhost:{free_port()}" for _ in range(2)]
    task = {"type": "worker", "index": 1 - missing}
    config = {"cluster": {"worker": addresses}, "task": task}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=NOTICED,
    )
    assert done.returncode in (75, -signal.SIGKILL), done.stderr
    assert "did not connect within 5 seconds" in done.stderr
    assert f"worker {missing} ({addresses[missing]})" in done.stderr
    assert "Traceback" not in done.stderr
    record(
        f"worker {missing} of 2 never starts",
        1,
        "named by the other after the time limit",
    )
