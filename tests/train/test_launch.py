"""Workers on one machine: each knows its place; one that fails ends all."""

import json
import sys
import time

import pytest

from train_tf.distributed import launch as module
from train_tf.distributed.launch import launch, of_search
from train_tf.errors import InputError

PYTHON = sys.executable
# Those that a worker may use; macOS knows no such thing.
PROCESSORS = "sorted(getattr(os, 'sched_getaffinity', lambda _: [0])(0))"


def test_each_worker_knows_its_place(tmp_path):
    script = (
        "import os, json, pathlib; c = json.loads(os.environ['TF_CONFIG']);"
        f"c['processors'] = {PROCESSORS};"
        "pathlib.Path(str(c['task']['index'])).write_text(json.dumps(c))"
    )
    assert launch([PYTHON, "-c", script], 2) == 0
    told = [json.loads((tmp_path / str(index)).read_text()) for index in range(2)]
    assert told[0]["cluster"] == told[1]["cluster"]
    assert len(set(told[0]["cluster"]["worker"])) == 2
    assert [one["task"] for one in told] == [
        {"type": "worker", "index": index} for index in range(2)
    ]
    apart = set(told[0]["processors"]).isdisjoint(told[1]["processors"])
    assert apart or len(told[0]["processors"]) == 1


def failing(status):
    """Worker 1 fails at once, worker 0 would go on for ever."""
    return (
        "import os, sys, time; first = '\"index\": 0' in os.environ['TF_CONFIG'];"
        f"open('starts', 'a').write('x'); time.sleep(600 if first else 0); {status}"
    )


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("sys.exit(2)", 2),
        ("sys.exit(75)", 75),
        ("os.kill(os.getpid(), 9)", 137),
    ],
)
def test_one_that_fails_ends_all(how, status, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 1)
    start = time.monotonic()
    assert launch([PYTHON, "-c", failing(how)], 2) == status
    assert time.monotonic() - start < 60


def test_one_that_ends_with_something_to_tell_ends_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    script = (
        "import os, sys, time; first = '\"index\": 0' in os.environ['TF_CONFIG'];"
        "time.sleep(3 * first); open(f'ended-{first}', 'w'); sys.exit(not first)"
    )
    assert launch([PYTHON, "-c", script], 2) == 1
    assert (tmp_path / "ended-True").exists() and (tmp_path / "ended-False").exists()


def test_fault_of_a_worker_is_told_and_not_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 20)
    script = (
        "import os, sys, time; first = '\"index\": 0' in os.environ['TF_CONFIG'];"
        "open('starts', 'a').write('x'); time.sleep(2 * first);"
        "sys.exit(75 if first else 1)"  # worker 0 has lost worker 1
    )
    assert launch([PYTHON, "-c", script], 2, restarts=3) == 1
    assert (tmp_path / "starts").read_text() == "xx"


def test_search_has_a_chief_beside_its_workers(tmp_path):
    script = (
        "import os, json, pathlib; names = ('TUNER_ID', 'ORACLE_IP', 'ORACLE_PORT');"
        "told = [os.environ['KERASTUNER_' + name] for name in names];"
        f"told.append({PROCESSORS});"
        "pathlib.Path(told[0]).write_text(json.dumps(told))"
    )
    assert launch([PYTHON, "-c", script], 2, places=of_search) == 0
    names = ("chief", "worker-0", "worker-1")
    told = {name: json.loads((tmp_path / name).read_text()) for name in names}
    assert len({(ip, port) for _, ip, port, _ in told.values()}) == 1
    shares = [set(told[f"worker-{index}"][3]) for index in range(2)]
    assert shares[0].isdisjoint(shares[1]) or len(shares[0]) == 1


@pytest.mark.parametrize(("status", "starts"), [(75, 3), (2, 1)])
def test_only_lost_workers_are_started_again(status, starts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    command = [PYTHON, "-c", failing(f"sys.exit({status})")]
    assert launch(command, 2, restarts=2) == status
    assert (tmp_path / "starts").read_text() == "xx" * starts


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "Expected a command after --. Received none"),
        (["no-such-program"], "There is no no-such-program"),
    ],
)
def test_command_that_is_none_is_refused(command, said):
    with pytest.raises(InputError, match=said):
        launch(command, 2)


def test_restarts_below_none_are_refused():
    with pytest.raises(InputError, match="--restarts of 0 or more. Received: -1"):
        launch(["true"], 2, restarts=-1)


@pytest.mark.parametrize("workers", [0, 65])
def test_workers_out_of_range_are_refused(workers):
    with pytest.raises(InputError, match="--workers from 1 to 64"):
        launch([PYTHON], workers)
