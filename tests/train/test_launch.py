"""Starting several workers on one machine, and ending them when one fails."""

import json
import sys
import time

import pytest

from train_tf.distributed import launch as module
from train_tf.distributed.launch import launch, search_environments
from train_tf.errors import InputError

PYTHON = sys.executable
IS_FIRST = "import os, sys, time; first = '\"index\": 0' in os.environ['TF_CONFIG'];"


def test_each_worker_has_its_tf_config(tmp_path):
    script = (
        "import os, json, pathlib; text = os.environ['TF_CONFIG'];"
        "pathlib.Path(str(json.loads(text)['task']['index'])).write_text(text)"
    )
    assert launch([PYTHON, "-c", script], 2) == 0
    configs = [json.loads((tmp_path / str(index)).read_text()) for index in range(2)]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 2
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": index} for index in range(2)
    ]


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("sys.exit(2)", 2),
        ("sys.exit(75)", 75),
        ("os.kill(os.getpid(), 9)", 137),
    ],
)
def test_failure_of_one_worker_ends_all(how, status, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 1)
    script = f"{IS_FIRST} time.sleep(600 if first else 0); {how}"
    start = time.monotonic()
    assert launch([PYTHON, "-c", script], 2) == status
    assert time.monotonic() - start < 60


def test_others_go_on_after_exit_status_1(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    script = (
        f"{IS_FIRST} time.sleep(3 * first); open(f'ended-{{first}}', 'w');"
        "sys.exit(not first)"
    )
    assert launch([PYTHON, "-c", script], 2) == 1
    assert (tmp_path / "ended-True").exists() and (tmp_path / "ended-False").exists()


def test_status_is_that_of_the_worker_that_failed_first(monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 20)
    # Worker 1 fails; worker 0 then loses it.
    script = f"{IS_FIRST} time.sleep(2 * first); sys.exit(75 if first else 1)"
    assert launch([PYTHON, "-c", script], 2) == 1


def test_search_has_workers_and_a_chief(tmp_path):
    script = (
        "import os, json, pathlib; names = ('TUNER_ID', 'ORACLE_IP', 'ORACLE_PORT');"
        "values = [os.environ['KERASTUNER_' + name] for name in names];"
        "pathlib.Path(values[0]).write_text(json.dumps(values[1:]))"
    )
    assert launch([PYTHON, "-c", script], 2, search_environments) == 0
    names = ("chief", "worker-0", "worker-1")
    addresses = [(tmp_path / name).read_text() for name in names]
    assert len(set(addresses)) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "Expected a command after --. Received none"),
        (["no-such-program"], "There is no no-such-program"),
    ],
)
def test_missing_program_is_rejected(command, message):
    with pytest.raises(InputError, match=message):
        launch(command, 2)


@pytest.mark.parametrize("workers", [0, 65])
def test_number_of_workers_out_of_range_is_rejected(workers):
    with pytest.raises(InputError, match="--workers from 1 to 64"):
        launch([PYTHON], workers)
