"""Trainings that are killed, stopped or run out of disk lose no finished epoch."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from faults.training import ROOT, Training
from weight_files import assert_same_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing was done to, and how many seconds it took."""
    start = time.monotonic()
    training = Training(tmp_path_factory.mktemp("whole"))
    status, _, errors = training.end()
    assert status == 0, errors
    training.seconds = time.monotonic() - start
    return training


def assert_resumes_to_the_same(training, whole):
    status, _, errors = Training(training.folder, "--resume").end()
    assert status == 0, errors
    assert_same(training, whole)


def assert_same(training, whole):
    last = "checkpoints/epoch-0004"
    assert_same_weights(training.run / last, whole.run / last)
    version = training.folder / "saved_models/small/1/saved_model.pb"
    assert version.exists()
    assert not list(training.folder.rglob(".writing-*"))


MOMENTS = {
    "in the first step": lambda t: (t.run / "split.json").exists(),
    "in the writing of a checkpoint": lambda t: any(
        (t.run / "checkpoints").glob(".writing-*")
    ),
    "in TensorBoard's writing": lambda t: any(t.run.glob("tensorboard/*/events*")),
    "in the export": lambda t: any(t.folder.glob("saved_models/small/.writing-*")),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment(moment, whole, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: MOMENTS[moment](training))
    training.process.kill()
    training.end()
    assert_resumes_to_the_same(training, whole)
    record(f"killed (SIGKILL) {moment}", 1, "nothing: the last weights are equal")


def test_killed_at_random(whole, tmp_path, record):
    lot, killed = random.Random(0), 0
    for number in range(16):
        training = Training(tmp_path / str(number))
        time.sleep(lot.uniform(0.3, 1) * whole.seconds)
        killed += training.process.poll() is None
        training.process.kill()
        training.end()
        if not training.run.exists():  # killed before there was one
            Training(training.folder).end()
            assert_same(training, whole)
        else:
            assert_resumes_to_the_same(training, whole)
    assert killed > 8  # others had ended
    record("killed at random moments", killed, "nothing: the last weights are equal")


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_stopped(sent, status, whole, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: (training.run / "checkpoints/epoch-0002").exists())
    training.process.send_signal(sent)
    ended, _, errors = training.end()
    assert ended == status
    assert "epochs are kept. Go on by --resume." in errors
    assert "Traceback" not in errors
    assert_resumes_to_the_same(training, whole)
    record(f"stopped by {sent.name}", 1, f"nothing; exit status {status}")


def test_second_start_of_one_run_is_refused(whole, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: (training.run / "split.json").exists())
    status, _, errors = Training(tmp_path, "--resume").end()
    assert status == 2
    assert "is going on in another process" in errors and "Traceback" not in errors
    status, _, errors = training.end()
    assert status == 0, errors
    assert_same(training, whole)
    record("the same run started twice", 1, "nothing: the second refuses")


def test_files_of_tomorrow(whole, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: (training.run / "checkpoints/epoch-0002").exists())
    training.process.kill()
    training.end()
    for path in training.run.rglob("*"):
        os.utime(path, (time.time() + 86_400,) * 2)
    assert_resumes_to_the_same(training, whole)
    record("clock set back by a day before the resumption", 1, "nothing")


@pytest.fixture
def small_disk(tmp_path):
    """A function that gives a disk, a tmpfs, of so many KiB, or makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def of(kib, *options):
        remount = ["remount"] if os.path.ismount(place) else []
        given = ",".join([*remount, f"size={kib}k", *options])
        command = ["mount", "-t", "tmpfs", "-o", given, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs a mount: {done.stderr}")
        return place

    yield of
    subprocess.run(["umount", "-l", str(place)], capture_output=True)


def test_disk_full(whole, small_disk, record):
    """A run needs about 1 MiB: the disk fills up at one file after another."""
    whole_kib = sum(x.stat().st_size for x in whole.folder.rglob("*")) // 1024
    stopped_after, full = set(), 0
    sizes = np.linspace(40, whole_kib * 1.2, 12).astype(int)
    for kib in sizes:
        folder = small_disk(kib) / "training"
        training = Training(folder)
        status, output, errors = training.end()
        if status == 0:
            break
        assert status == 2, errors
        full += 1
        assert "No space left" in errors and "Traceback" not in errors, errors
        done = [line for line in output.splitlines() if line.startswith("Epoch")]
        stopped_after.add(len(done))
        small_disk(50_000)
        if (training.run / "config.json").exists():
            assert_resumes_to_the_same(training, whole)
        shutil.rmtree(folder)
    assert len(stopped_after) > 2
    record(
        "disk full, before, in and after the epochs",
        full,
        "nothing: a sentence says so; with room again the last weights are equal",
    )


def test_read_only_disk(small_disk, record):
    folder = small_disk(5000)
    (folder / "runs").mkdir()
    small_disk(5000, "ro")
    status, _, errors = Training(folder).end()
    assert status == 2
    assert "Read-only file system" in errors and "Traceback" not in errors
    record("run folder on a read-only disk", 1, "nothing: refused before training")


def cut_short(content):
    return content[: len(content) // 2]


def flip_a_bit(content):
    content = bytearray(content)
    content[len(content) // 2] ^= 1
    return bytes(content)


@pytest.mark.parametrize("spoil", [cut_short, flip_a_bit])
def test_damaged_data(spoil, tmp_path, record):
    data = tmp_path / "data"
    shutil.copytree(ROOT / "datasets/oxford_iiit_pet", data / "oxford_iiit_pet")
    file = next(data.rglob("*train.tfrecord*"))
    file.write_bytes(spoil(file.read_bytes()))
    status, _, errors = Training(tmp_path, f"--data-dir={data}").end()
    assert status == 2
    assert file.name in errors and "damaged" in errors and "Traceback" not in errors
    assert not (tmp_path / "runs").exists()
    how = "cut short" if spoil is cut_short else "with a flipped bit"
    record(f"a data file {how}", 1, "nothing: the file is named before training")
