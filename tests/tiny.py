"""Small data sets, configs and trainings for tests."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from cvae_tf.config import CVAEConfig
from train_tf.data.datasets import BUNDLED
from unet_tf.config import UNetConfig

ROOT = Path(__file__).resolve().parents[1]


def made_once(factory, name, make):
    """What `make(folder)` gives, made by the first of pytest's workers that asks."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / name
    made = folder / "made.pickle"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir(exist_ok=True)
            made.write_bytes(pickle.dumps(make(folder)))
    return pickle.loads(made.read_bytes())


def run_script(folder, script, *arguments, python=()):
    """Run a script in a process of its own, as a person in that folder would."""
    return subprocess.run(
        [sys.executable, *python, ROOT / "scripts" / script, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
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


def tiny_config(folder, **options):
    return UNetConfig(
        **options,
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


@dataclasses.dataclass(frozen=True)
class BareConfig:
    """What a `train_tf.run.resumable_run.Run` uses of a config."""

    run_folder: Path
    epochs: int = 3
    patience: int = 0
    precision: str = "auto"
    seed: int = 0
    resume: bool = False

    def resolve(self):
        return self


@contextlib.contextmanager
def run_eagerly():
    """Run eagerly: faster than compiling for a few steps."""
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
