"""What several tests need: a small trained run, pictures on disk, plain precision."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cvae_tf.config import CVAEConfig
from train_tf.datasets import BUNDLED
from unet_tf.config import UNetConfig

ROOT = Path(__file__).resolve().parents[1]

pytest_plugins = ["faults.table"]


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch, tmp_path):
    """float32, no data sets but the bundled ones, and an empty folder to write to."""
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def tiny(tmp_path):
    """A config that trains in seconds: change it by `dataclasses.replace`."""
    return tiny_config(tmp_path)


def made_once(factory, name, make):
    """What `make(folder)` gives, made by the first of pytest's workers that asks."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / name
    kept = folder / "made.pickle"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            folder.mkdir(exist_ok=True)
            kept.write_bytes(pickle.dumps(make(folder)))
    return pickle.loads(kept.read_bytes())


def run_script(folder, script, *arguments, python=()):
    """Run a script in a process of its own, as a person in that folder would."""
    return subprocess.run(
        [sys.executable, *python, ROOT / "scripts" / script, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def trained_by(script, config):
    """The results and the output of a training by its script."""
    fields = dataclasses.fields(config)
    plain = dataclasses.asdict(type(config)())
    flags = [
        f"--{field.name.replace('_', '-')}={getattr(config, field.name)}"
        for field in fields
        if getattr(config, field.name) != plain[field.name]
    ]
    answer = run_script(config.runs_dir.parent, script, *flags)
    assert answer.returncode == 0, answer.stderr
    for trouble in ("Traceback", "Warning", "E0000"):
        assert trouble not in answer.stderr
    results = json.loads((config.run_folder / "results.json").read_text())
    return results, answer.stdout


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The config, results and output of a small UNet trained on the bundled pets."""

    def make(folder):
        config = dataclasses.replace(tiny_config(folder), name="pets")
        return config, *trained_by("train_unet.py", config)

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def extended(tmp_path_factory, trained):
    """The config and results of `trained`, extended to three epochs.

    Its best epoch is that of the least mean IoU, so that it is not the last; its first
    two say that they took 25 minutes.
    """
    from train_tf import training
    from train_tf.checkpoints import Checkpoints
    from unet_tf.training import UNetTask

    class Worst(UNetTask):
        mode = "min"

    def make(folder):
        places = {"runs_dir": folder, "saved_models_dir": folder / "saved_models"}
        config = dataclasses.replace(trained[0], epochs=3, resume=True, **places)
        shutil.copytree(trained[0].run_folder, config.run_folder)
        seconds = [[100, 600], [100, 900]]  # of each epoch: training, and all
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Checkpoints, "seconds", lambda _: seconds)
            return config, training.train(config, Worst)

    return made_once(tmp_path_factory, "extended", make)


@pytest.fixture(scope="session")
def trained_on_own(tmp_path_factory):
    """The config and results of a small UNet trained on folders, with 0/255 masks."""
    from unet_tf.training import train

    def make(folder):
        images, masks = write_photos_and_masks(folder, count=40, ids=(0, 255))
        config = dataclasses.replace(
            tiny_config(folder),
            images=images,
            masks=masks,
            name="own",
            down="strided",  # learns these in fewer steps than max-pooling
            up="upsample",
            image_size=16,
            filters=4,
            batch_size=4,
            epochs=8,
            augment=False,
        )
        return config, train(config)

    return made_once(tmp_path_factory, "trained_on_own", make)


def tiny_config(folder):
    return UNetConfig(
        data_dir=BUNDLED,
        filters=2,
        depth=2,
        image_size=32,
        batch_size=32,
        epochs=2,
        precision="float32",
        runs_dir=folder / "runs",
        saved_models_dir=folder / "saved_models",
    )


@pytest.fixture(scope="session")
def small_sets(tmp_path_factory):
    """A data dir with the first 400 training and 100 test images of the bundled."""
    return made_once(tmp_path_factory, "small_sets", write_small_sets)


def write_small_sets(folder, counts=(400, 100)):
    for name in ("mnist", "cifar10"):
        (source,) = (BUNDLED / name).iterdir()
        target = folder / name / source.name
        target.mkdir(parents=True)
        about = json.loads((source / "dataset_info.json").read_text())
        for split, count in zip(about["splits"], counts, strict=True):
            split["shardLengths"] = [str(count)]
            (file,) = source.glob(f"{name}-{split['name']}.tfrecord*")
            with tf.io.TFRecordWriter(str(target / file.name)) as writer:
                for record in tf.data.TFRecordDataset(str(file)).take(count):
                    writer.write(record.numpy())
        (target / "dataset_info.json").write_text(json.dumps(about))
        features = (source / "features.json").read_text()
        (target / "features.json").write_text(features)
    return folder


@pytest.fixture(scope="session")
def trained_cvae(tmp_path_factory, small_sets):
    """The config, results and output of a small VAE trained on a little of MNIST."""

    def make(folder):
        config = tiny_cvae_config(folder, small_sets)
        return config, *trained_by("train_cvae.py", config)

    return made_once(tmp_path_factory, "trained_cvae", make)


@dataclasses.dataclass(frozen=True)
class BareConfig:
    """What a `train_tf.run.Run` asks of a config."""

    run_folder: Path
    epochs: int = 3
    patience: int = 0
    precision: str = "auto"
    seed: int = 0
    resume: bool = False


@contextlib.contextmanager
def uncompiled():
    """Run each operation by itself: for a few steps, quicker than to compile them."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def tiny_cvae_config(folder, data_dir):
    return CVAEConfig(
        latents=3,
        detail_latents=1,
        epochs=2,
        batch_size=76,
        precision="float32",
        data_dir=data_dir,
        runs_dir=folder / "runs",
        saved_models_dir=folder / "saved_models",
    )


def write_photos_and_masks(folder, count=8, size=(24, 20), ids=(0, 1)):
    """Photographs of a bright square on dark ground, and masks with ids of the two."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    width, height = size
    for number in range(count):
        mask = np.full((height, width), ids[0], "uint8")
        mask[3 : 9 + number % 3, 4 : 12 + number % 4] = ids[1]
        photo = np.where(mask[..., None] == ids[1], (220, 200, 180), (20, 40, 60))
        Image.fromarray(photo.astype("uint8")).save(folder / f"images/{number}.png")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    return folder / "images", folder / "masks"
