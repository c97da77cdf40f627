"""Who trains is chosen by what there is; a TF_CONFIG that is not in order is told."""

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


def config(workers=("a:1", "b:2"), index=0, job="worker"):
    task = {"type": job, "index": index}
    return json.dumps({"cluster": {job: list(workers)}, "task": task})


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


@pytest.mark.parametrize("name", ["auto", "one"])
def test_one_device_needs_no_strategy(name):
    strategy = cluster.choose(name)
    assert strategy.num_replicas_in_sync == 1
    assert cluster.is_chief(strategy)
    assert cluster.from_chief(b"as it was", strategy) == b"as it was"


def test_workers_without_a_cluster_are_refused():
    with pytest.raises(InputError, match="needs TF_CONFIG.*launch_local"):
        cluster.choose("multiworker")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        config(index=2),
        config(index=-1),
        config(index="one"),
        config(job="evaluator"),
        config(workers=["a:1", "a:1"]),
        config(workers=["a", "b"]),
        config(workers=[1, 2]),
        config(workers=[]),
        '{"cluster": {"worker": ["a:1"]}}',
    ],
)
def test_cluster_that_is_not_in_order_is_refused_with_an_example(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match='Expected TF_CONFIG.*"index": 0') as refused:
        cluster.choose("auto")
    assert text in str(refused.value)


class Resolver:
    task_id = 0

    def cluster_spec(self):
        addresses = ["localhost:1", "localhost:2", "localhost:3"]
        return tf.train.ClusterSpec({"worker": addresses})


@pytest.mark.parametrize(
    ("answering", "message", "said"),
    [
        ({1, 3}, "Socket closed", "Lost worker 1 (localhost:2)"),
        (
            {1, 2, 3},
            "no heartbeat from /job:worker/replica:0/task:2",
            "Lost worker 2 (localhost:3)",
        ),
        ({1, 2, 3}, "something else", "Lost another worker"),
    ],
)
def test_lost_worker_is_named(answering, message, said, monkeypatch):
    def unanswering(others):
        return [n for n, x in others.items() if int(x.split(":")[1]) not in answering]

    monkeypatch.setattr(cluster, "unanswering", unanswering)

    class Strategy:
        cluster_resolver = Resolver()

    with pytest.raises(WorkerLost) as lost, cluster.watched(Strategy()):
        raise tf.errors.UnavailableError(None, None, message)
    assert str(lost.value).startswith(said) and "--resume" in str(lost.value)


def test_own_trouble_of_a_worker_is_not_told_as_a_lost_one(monkeypatch):
    class Strategy:
        cluster_resolver = Resolver()

    error = tf.errors.ResourceExhaustedError(None, None, "out of memory")
    monkeypatch.setattr(cluster, "unanswering", lambda others: [])
    with pytest.raises(tf.errors.ResourceExhaustedError), cluster.watched(Strategy()):
        raise error
    monkeypatch.setattr(cluster, "unanswering", lambda others: [1])
    with pytest.raises(WorkerLost), cluster.watched(Strategy()):
        raise error


def test_error_of_a_lone_training_is_its_own():
    strategy = tf.distribute.get_strategy()
    with pytest.raises(tf.errors.UnavailableError), cluster.watched(strategy):
        raise tf.errors.UnavailableError(None, None, "as it was")


@pytest.mark.parametrize(
    ("limit", "others", "said"),
    [
        ("STUCK_SECONDS", {}, "Lost another worker"),
        ("SILENT_SECONDS", {1: "localhost:1"}, "Lost worker 1 (localhost:1)"),
    ],
)
def test_worker_that_is_stuck_ends_itself_in_a_sentence(limit, others, said):
    script = (
        f"import threading; from train_tf import cluster; cluster.{limit} = 2;"
        f"cluster.WATCHDOG.watch(threading.Event(), {others})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 75
    assert said in done.stderr and "no worker got on for" in done.stderr
    assert "--resume" in done.stderr and "Traceback" not in done.stderr


def test_each_worker_has_a_share_and_all_have_everything(monkeypatch):
    items = list(range(7))
    assert cluster.own_share(items) == items
    shares = []
    for index in range(3):
        monkeypatch.setenv("TF_CONFIG", config(("a:1", "b:2", "c:3"), index))
        shares.append(cluster.own_share(items))
    assert sorted(sum(shares, [])) == items
    assert max(map(len, shares)) - min(map(len, shares)) == 1
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(InputError, match="Expected TF_CONFIG"):
        cluster.own_share(items)


@pytest.mark.parametrize("index", [0, 2])
def test_manifest_gives_every_pod_its_place_and_the_command(index, tmp_path):
    """Its shell, with a program in the place of python that says what it was given."""
    manifest = (ROOT / "cluster/job.yaml").read_text()
    script = textwrap.dedent(manifest.split("- |\n")[1].split("  resources:")[0])
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$TF_CONFIG" > told; echo "$@" > options')
    python.chmod(0o755)
    pod = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WORKERS": "3"}
    subprocess.run(
        ["/bin/sh", "-c", script],
        env={**pod, "JOB_COMPLETION_INDEX": str(index)},
        cwd=tmp_path,
        check=True,
    )
    addresses = [f"unet-{number}.unet:3333" for number in range(3)]
    assert json.loads((tmp_path / "told").read_text()) == {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }
    script, *options = (tmp_path / "options").read_text().split()
    assert (ROOT / script).exists()
    assert tyro.cli(UNetConfig, args=options).strategy == "multiworker"
