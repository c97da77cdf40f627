"""Several workers give what one gives; what only one may do, only the chief does."""

import subprocess
import sys

import pytest
import unet_tables as compare_table
from tiny import ROOT, made_once
from train_on_workers import EPOCHS
from weight_files import assert_same_weights

pytestmark = pytest.mark.slow

PAIRS = ["-".join(parts) for parts in compare_table.PAIRS]


def train(factory, data_dir, workers, *cases):
    """The folder in which so many workers have trained the cases."""

    def make(folder):
        command = [sys.executable, ROOT / "tests/train_on_workers.py", folder, data_dir]
        launcher = [sys.executable, ROOT / "scripts/launch_local.py"]
        launcher = [*launcher, f"--workers={workers}", "--"] if workers > 1 else []
        done = subprocess.run(
            [*launcher, *command, *cases],
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "retracing" not in done.stderr  # which nobody can do anything about
        (folder / "said.txt").write_text(done.stdout)
        return folder

    return made_once(factory, f"workers_{workers}_{'_'.join(cases)}", make)


def assert_same(one, other, case):
    last = f"runs/{case}/checkpoints/epoch-{EPOCHS:04d}"
    first = f"runs/{case}/checkpoints/epoch-0001"
    assert_same_weights(one / last, other / last, tolerance=1e-5)
    with pytest.raises(AssertionError):  # and a training changes more than that
        assert_same_weights(one / first, one / last, tolerance=1e-4)
    for a, b in zip(history(one, case), history(other, case), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-3)


def history(folder, case):
    lines = (folder / f"runs/{case}/history.csv").read_text().splitlines()[1:]
    return [[float(cell) for cell in line.split(",")] for line in lines]


@pytest.mark.parametrize("case", [*PAIRS, "cvae"])
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_train_as_one(case, workers, tmp_path_factory, small_sets):
    one = train(tmp_path_factory, small_sets, 1, *PAIRS, "cvae")
    several = train(tmp_path_factory, small_sets, workers, *PAIRS, "cvae")
    assert_same(one, several, case)
    assert len(list((several / "saved_models" / case).iterdir())) == 1
    assert (several / "said.txt").read_text().count("Epoch 2/2") == len(PAIRS) + 1


@pytest.mark.parametrize("case", [PAIRS[3], "cvae"])
def test_replicas_of_one_machine_train_as_one(case, tmp_path_factory, small_sets):
    one = train(tmp_path_factory, small_sets, 1, *PAIRS, "cvae")
    both = train(tmp_path_factory, small_sets, 1, "mirrored", PAIRS[3], "cvae")
    assert_same(one, both, case)


@pytest.mark.parametrize("case", [PAIRS[3], "cvae"])
def test_replicas_train_as_one_by_the_models_own_optimizers(
    case, tmp_path_factory, small_sets
):
    one = train(tmp_path_factory, small_sets, 1, "own", PAIRS[3], "cvae")
    both = train(tmp_path_factory, small_sets, 1, "mirrored", "own", PAIRS[3], "cvae")
    for a, b in zip(history(one, case), history(both, case), strict=True):
        assert a == pytest.approx(b, rel=1e-2, abs=1e-2)


def test_keras_still_needs_our_help(tmp_path_factory, small_sets):
    said = (train(tmp_path_factory, small_sets, 2, "keras") / "keras.txt").read_text()
    assert said != "None", "Keras needs less of `replicas.prepare_to_fit`: shorten it"
