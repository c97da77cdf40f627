"""Several workers or replicas train as one; only the chief writes."""

import subprocess
import sys

import pytest
from tiny import ROOT, made_once
from train_on_workers import CASES, EPOCHS
from weight_files import assert_same_weights, largest_change

pytestmark = pytest.mark.slow

TWO_CASES = ("strided-upsample-dice", "cvae")


def train(factory, data_dir, workers, *arguments):
    """Train on so many workers.

    Args:
        factory: pytest's `tmp_path_factory`.
        data_dir: a folder with small data sets.
        workers: how many.
        arguments: cases and options of train_on_workers.py.

    Returns:
        The folder with runs/, saved_models/ and output.txt.
    """

    def make(folder):
        command = [sys.executable, ROOT / "tests/train_on_workers.py", folder, data_dir]
        launcher = [sys.executable, ROOT / "scripts/launch_local.py"]
        launcher = [*launcher, f"--workers={workers}", "--"] if workers > 1 else []
        done = subprocess.run(
            [*launcher, *command, *arguments],
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "retracing" not in done.stderr  # a warning that users cannot act on
        (folder / "output.txt").write_text(done.stdout)
        return folder

    return made_once(factory, f"workers_{workers}_{'_'.join(arguments)}", make)


def assert_same(one, other, case):
    last = f"runs/{case}/checkpoints/epoch-{EPOCHS:04d}"
    first = f"runs/{case}/checkpoints/epoch-0001"
    assert_same_weights(one / last, other / last, tolerance=1e-5)
    assert largest_change(one / first, one / last) > 1e-3
    for a, b in zip(history(one, case), history(other, case), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-3)


def history(folder, case):
    lines = (folder / f"runs/{case}/history.csv").read_text().splitlines()[1:]
    return [[float(cell) for cell in line.split(",")] for line in lines]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_train_as_one(case, workers, tmp_path_factory, small_sets):
    one = train(tmp_path_factory, small_sets, 1, *CASES)
    several = train(tmp_path_factory, small_sets, workers, *CASES)
    assert_same(one, several, case)
    assert len(list((several / "saved_models" / case).iterdir())) == 1
    assert (several / "output.txt").read_text().count("Epoch 2/2") == len(CASES)


@pytest.mark.parametrize("case", TWO_CASES)
def test_replicas_of_one_machine_train_as_one(case, tmp_path_factory, small_sets):
    one = train(tmp_path_factory, small_sets, 1, *CASES)
    two = train(tmp_path_factory, small_sets, 1, "mirrored", *TWO_CASES)
    assert_same(one, two, case)


@pytest.mark.parametrize("case", TWO_CASES)
def test_replicas_train_as_one_with_the_models_optimizers(
    case, tmp_path_factory, small_sets
):
    arguments = ("model_optimizers", *TWO_CASES)
    one = train(tmp_path_factory, small_sets, 1, *arguments)
    two = train(tmp_path_factory, small_sets, 1, "mirrored", *arguments)
    for a, b in zip(history(one, case), history(two, case), strict=True):
        assert a == pytest.approx(b, rel=1e-2, abs=1e-2)


def test_plain_keras_fails_on_two_workers(tmp_path_factory, small_sets):
    error = (train(tmp_path_factory, small_sets, 2, "keras") / "keras.txt").read_text()
    assert error != "None", "Keras was repaired: shorten `replicas.prepare_to_fit`"
