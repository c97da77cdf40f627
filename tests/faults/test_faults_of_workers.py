"""A worker that is lost is named within seconds, and the training goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from faults.training import ROOT, SMALL
from weight_files import assert_same_weights

pytestmark = pytest.mark.slow

NOTICED = 60  # seconds, in which the others must have ended


class Workers:
    """Two workers of one training, each with a folder of its own."""

    def __init__(self, folder, addresses=None, prefixes=((), ())):
        self.folder = folder
        addresses = addresses or [f"localhost:{free_port()}" for _ in range(2)]
        self.processes = []
        for index, prefix in enumerate(prefixes):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            own = folder / str(index)
            own.mkdir(parents=True, exist_ok=True)
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
                    cwd=own,
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
            ended = [process.poll() for process in self.processes]
            assert ended == [None, None] and time.monotonic() < deadline
            time.sleep(0.01)

    def end(self, index, seconds):
        output, errors = self.processes[index].communicate(timeout=seconds)
        return self.processes[index].returncode, errors

    @property
    def last(self):
        return self.checkpoints / "epoch-0004"


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two workers give that nothing was done to."""
    workers = Workers(tmp_path_factory.mktemp("both"))
    for index in range(2):
        status, errors = workers.end(index, 300)
        assert status == 0, errors
    assert not (workers.folder / "1/runs").exists()
    assert not (workers.folder / "1/saved_models").exists()
    return workers.last


def assert_named_and_gone_on(workers, lost, both, addresses=None, **settings):
    """The other ends with a sentence; both started again end as they should."""
    start = time.monotonic()
    status, errors = workers.end(1 - lost, NOTICED)
    seconds = time.monotonic() - start
    assert status == 75, errors
    assert f"Lost worker {lost} (" in errors and "Traceback" not in errors, errors
    workers.processes[lost].kill()
    workers.processes[lost].communicate()
    again = Workers(workers.folder, addresses, **settings)
    for index in range(2):
        status, errors = again.end(index, 300)
        assert status == 0, errors
    assert_same_weights(again.last, both)
    return f"nothing: the other named it in {seconds:.0f} s; the last weights are equal"


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_lost_worker(sent, lost, both, tmp_path, record):
    workers = Workers(tmp_path)
    workers.wait_for_epoch(2)
    workers.processes[lost].send_signal(sent)
    outcome = assert_named_and_gone_on(workers, lost, both)
    what = "killed" if sent == signal.SIGKILL else "stopped (SIGSTOP)"
    record(f"worker {lost} of 2 {what}", 1, outcome)


def ip(*command):
    done = subprocess.run(["ip", *command], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs network namespaces: {done.stderr}")


@pytest.fixture
def two_hosts():
    """Two network namespaces joined by a cable; the names of the hosts."""
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


def test_cut_off_worker(two_hosts, both, tmp_path, record):
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
    again = Workers(tmp_path, addresses, prefixes)
    for index in range(2):
        status, errors = again.end(index, 300)
        assert status == 0, errors
    assert_same_weights(again.last, both)
    record(
        "the network between two workers cut",
        1,
        f"nothing: each named the other in {seconds:.0f} s; the last weights are equal",
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_worker_that_never_comes(missing, tmp_path, record):
    """With the time that is waited for it made short."""
    script = (
        "import sys; from train_tf import command_line, cluster;"
        "command_line.start_tensorflow(); cluster.START_SECONDS = 5;"
        "sys.exit(command_line.run(__import__('dataclasses').make_dataclass('C', []),"
        " lambda _: cluster.choose('auto')))"
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
    assert "did not come together within 5 seconds" in done.stderr
    assert f"worker {missing} ({addresses[missing]})" in done.stderr
    assert "Traceback" not in done.stderr
    record(
        f"worker {missing} of 2 never comes",
        1,
        "nothing: the other names it after the time allowed",
    )
