"""Trainings that are killed, stopped or run out of disk lose no finished epoch."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from faults.training import RESUMED, ROOT, Training
from weight_files import assert_same_weights

from train_tf.files import PARTIAL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A training without a failure; `seconds` is how long it took."""
    start = time.monotonic()
    training = Training(tmp_path_factory.mktemp("undisturbed"))
    status, _, errors = training.end()
    assert status == 0, errors
    training.seconds = time.monotonic() - start
    return training


def assert_resumes_to_the_same(training, undisturbed):
    status, _, errors = Training(training.folder, "--resume").end()
    assert status == 0, errors
    assert_same(training, undisturbed)


def assert_same(training, undisturbed):
    last = "checkpoints/epoch-0004"
    assert_same_weights(training.run / last, undisturbed.run / last)
    version = training.folder / "saved_models/small/1/saved_model.pb"
    assert version.exists()
    assert not list(training.folder.rglob(f"{PARTIAL}*"))


MOMENTS = {
    "during the first step": lambda t: (t.run / "split.json").exists(),
    "while a checkpoint is written": lambda t: any(
        (t.run / "checkpoints").glob(f"{PARTIAL}*")
    ),
    "while TensorBoard's files are written": lambda t: any(
        t.run.glob("tensorboard/*/events*")
    ),
    "during the export": lambda t: any(t.folder.glob(f"saved_models/small/{PARTIAL}*")),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment(moment, undisturbed, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: MOMENTS[moment](training))
    training.process.kill()
    training.end()
    assert_resumes_to_the_same(training, undisturbed)
    record(f"killed (SIGKILL) {moment}", 1, RESUMED)


def test_killed_at_random(undisturbed, tmp_path, record):
    generator, killed = random.Random(0), 0
    for number in range(16):
        training = Training(tmp_path / str(number))
        time.sleep(generator.uniform(0.3, 1) * undisturbed.seconds)
        killed += training.process.poll() is None
        training.process.kill()
        training.end()
        if not training.run.exists():  # killed before the run began
            Training(training.folder).end()
            assert_same(training, undisturbed)
        else:
            assert_resumes_to_the_same(training, undisturbed)
    assert killed > 8  # the others had ended
    record("killed (SIGKILL) at random moments", killed, RESUMED)


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_stopped(sent, status, undisturbed, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: (training.run / "checkpoints/epoch-0002").exists())
    training.process.send_signal(sent)
    ended, _, errors = training.end()
    assert ended == status
    assert "epochs are saved. Continue with --resume." in errors
    assert "Traceback" not in errors
    assert_resumes_to_the_same(training, undisturbed)
    record(f"stopped by {sent.name}", 1, f"exit status {status}; {RESUMED}")


def test_second_start_of_a_run_is_rejected(undisturbed, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: (training.run / "split.json").exists())
    status, _, errors = Training(tmp_path, "--resume").end()
    assert status == 2
    assert "is in use by another process" in errors and "Traceback" not in errors
    status, _, errors = training.end()
    assert status == 0, errors
    assert_same(training, undisturbed)
    record("the same run started twice", 1, "the second start is rejected")


def test_files_from_the_future(undisturbed, tmp_path, record):
    training = Training(tmp_path)
    training.wait_for(lambda: (training.run / "checkpoints/epoch-0002").exists())
    training.process.kill()
    training.end()
    for path in training.run.rglob("*"):
        os.utime(path, (time.time() + 86_400,) * 2)
    assert_resumes_to_the_same(training, undisturbed)
    record("clock set back by a day before --resume", 1, RESUMED)


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a tmpfs of so many KiB, or resizes it."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(kib, *options):
        remount = ["remount"] if os.path.ismount(disk) else []
        options = ",".join([*remount, f"size={kib}k", *options])
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs a mount: {done.stderr}")
        return disk

    yield mount
    subprocess.run(["umount", "-l", str(disk)], capture_output=True)


def test_disk_full(undisturbed, small_disk, record):
    """A run needs about 1 MiB: the disk fills up at different files."""
    needed_kib = sum(x.stat().st_size for x in undisturbed.folder.rglob("*")) // 1024
    stopped_after, full = set(), 0
    sizes = np.linspace(40, needed_kib * 1.2, 12).astype(int)
    for kib in sizes:
        folder = small_disk(kib) / "training"
        training = Training(folder)
        status, output, errors = training.end()
        if status == 0:
            break
        assert status == 2, errors
        full += 1
        assert "No space left" in errors and "Traceback" not in errors, errors
        epochs = [x for x in output.splitlines() if x.startswith("Epoch")]
        stopped_after.add(len(epochs))
        small_disk(50_000)
        if (training.run / "config.json").exists():
            assert_resumes_to_the_same(training, undisturbed)
        shutil.rmtree(folder)
    assert len(stopped_after) > 2
    record(
        "disk full before, during and after the epochs",
        full,
        f"an error message; with free space, {RESUMED}",
    )


def test_read_only_disk(small_disk, record):
    folder = small_disk(5000)
    (folder / "runs").mkdir()
    small_disk(5000, "ro")
    status, _, errors = Training(folder).end()
    assert status == 2
    assert "Read-only file system" in errors and "Traceback" not in errors
    record("run folder on a read-only disk", 1, "rejected before training")


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
    record(f"a data file {how}", 1, "the file is named before training")
