"""Joining a cluster of workers, losing one of them, and wrong TF_CONFIGs."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf
import tyro
from tiny import ROOT

from train_tf.distributed import cluster
from train_tf.errors import InputError, WorkerLost
from unet_tf.config import UNetConfig


def tf_config(addresses=("a:1", "b:2"), index=0, job="worker"):
    task = {"type": job, "index": index}
    return json.dumps({"cluster": {job: list(addresses)}, "task": task})


@pytest.fixture(autouse=True)
def no_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


@pytest.mark.parametrize("name", ["auto", "one"])
def test_one_device_needs_no_workers(name):
    workers = cluster.join(name)
    assert workers.strategy.num_replicas_in_sync == 1
    assert workers.is_chief and workers.is_alone
    assert workers.from_chief(b"unchanged") == b"unchanged"


def test_multiworker_without_tf_config_is_rejected():
    with pytest.raises(InputError, match="needs TF_CONFIG.*launch_local"):
        cluster.join("multiworker")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        tf_config(index=2),
        tf_config(index=-1),
        tf_config(index="one"),
        tf_config(job="evaluator"),
        tf_config(addresses=["a:1", "a:1"]),
        tf_config(addresses=["a", "b"]),
        tf_config(addresses=[1, 2]),
        tf_config(addresses=[]),
        '{"cluster": {"worker": ["a:1"]}}',
    ],
)
def test_invalid_tf_config_is_rejected_with_an_example(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match='Expected TF_CONFIG.*"index": 0') as rejected:
        cluster.join("auto")
    assert text in str(rejected.value)


class Resolver:
    def __init__(self, index, addresses):
        self.task_id, self.addresses = index, addresses

    def cluster_spec(self):
        return tf.train.ClusterSpec({"worker": self.addresses})


def workers_of(*addresses, index=0):
    class Strategy:
        cluster_resolver = Resolver(index, addresses)

    return cluster.Workers(Strategy())


@pytest.mark.parametrize(
    ("addresses", "index", "is_chief", "is_alone"),
    [(["a:1", "b:2"], 0, True, False), (["a:1", "b:2"], 1, False, False)]
    + [(["a:1"], 0, True, True)],
)
def test_first_worker_is_the_chief(addresses, index, is_chief, is_alone):
    workers = workers_of(*addresses, index=index)
    assert (workers.is_chief, workers.is_alone) == (is_chief, is_alone)


THREE = ("localhost:1", "localhost:2", "localhost:3")


@pytest.mark.parametrize(
    ("silent", "error", "message"),
    [
        ([1], "Socket closed", "Lost worker 1 (localhost:2)"),
        (
            [],
            "no heartbeat from /job:worker/replica:0/task:2",
            "Lost worker 2 (localhost:3)",
        ),
        ([], "something else", "Lost another worker"),
    ],
)
def test_lost_worker_is_named(silent, error, message, monkeypatch):
    def find_silent(others):
        assert others == {1: "localhost:2", 2: "localhost:3"}
        return silent

    monkeypatch.setattr(cluster, "find_silent", find_silent)
    with pytest.raises(WorkerLost) as lost, workers_of(*THREE).watched():
        raise tf.errors.UnavailableError(None, None, error)
    assert str(lost.value).startswith(message) and "--resume" in str(lost.value)


def test_error_of_this_worker_is_not_reported_as_a_lost_worker(monkeypatch):
    workers = workers_of(*THREE)
    error = tf.errors.ResourceExhaustedError(None, None, "out of memory")
    monkeypatch.setattr(cluster, "find_silent", lambda others: [])
    with pytest.raises(tf.errors.ResourceExhaustedError), workers.watched():
        raise error
    monkeypatch.setattr(cluster, "find_silent", lambda others: [1])
    with pytest.raises(WorkerLost), workers.watched():
        raise error


def test_error_without_other_workers_is_unchanged():
    workers = cluster.join("one")
    with pytest.raises(tf.errors.UnavailableError), workers.watched():
        raise tf.errors.UnavailableError(None, None, "unchanged")


@pytest.mark.parametrize(
    ("limit", "others", "message"),
    [
        ("STUCK_SECONDS", {}, "Lost another worker"),
        ("SILENT_SECONDS", {1: "localhost:1"}, "Lost worker 1 (localhost:1)"),
    ],
)
def test_stuck_worker_ends_itself_with_a_message(limit, others, message):
    script = (
        "import threading; from train_tf.distributed import cluster;"
        f"cluster.{limit} = 2; cluster.WATCHDOG.watch(threading.Event(), {others})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 75
    assert message in done.stderr and "No progress for" in done.stderr
    assert "--resume" in done.stderr and "Traceback" not in done.stderr


def test_shares_of_workers_are_disjoint_and_complete(monkeypatch):
    items = list(range(7))
    assert cluster.share_of_this_worker(items) == items
    shares = []
    for index in range(3):
        monkeypatch.setenv("TF_CONFIG", tf_config(("a:1", "b:2", "c:3"), index))
        shares.append(cluster.share_of_this_worker(items))
    assert sorted(sum(shares, [])) == items
    assert max(map(len, shares)) - min(map(len, shares)) == 1
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(InputError, match="Expected TF_CONFIG"):
        cluster.share_of_this_worker(items)


def test_training_workers_are_rejected_where_one_process_is_needed(monkeypatch):
    cluster.check_alone("a comparison")
    with pytest.raises(InputError, match="a comparison. Received: --strategy multiw"):
        cluster.check_alone("a comparison", "multiworker")
    monkeypatch.setenv("TF_CONFIG", tf_config())
    cluster.check_alone("a comparison", "one")
    with pytest.raises(InputError, match="Received: a TF_CONFIG"):
        cluster.check_alone("a comparison")


@pytest.mark.parametrize("index", [0, 2])
def test_manifest_gives_each_pod_its_tf_config_and_the_command(index, tmp_path):
    """Runs the manifest's shell script with a `python` that writes its arguments."""
    manifest = (ROOT / "deploy/cluster/job.yaml").read_text()
    script = textwrap.dedent(manifest.split("- |\n")[1].split("  resources:")[0])
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$TF_CONFIG" > tf_config; echo "$@" > arguments')
    python.chmod(0o755)
    pod = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WORKERS": "3"}
    subprocess.run(
        ["/bin/sh", "-c", script],
        env={**pod, "JOB_COMPLETION_INDEX": str(index)},
        cwd=tmp_path,
        check=True,
    )
    addresses = [f"unet-{number}.unet:3333" for number in range(3)]
    assert json.loads((tmp_path / "tf_config").read_text()) == {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }
    script, *options = (tmp_path / "arguments").read_text().split()
    assert (ROOT / script).exists()
    assert tyro.cli(UNetConfig, args=options).strategy == "multiworker"
