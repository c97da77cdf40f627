"""Fixtures of several tests: small trained runs, float32."""

import dataclasses
import shutil

import keras
import pytest
from tiny import (
    made_once,
    tiny_config,
    tiny_cvae_config,
    trained_by,
    write_photos_and_masks,
    write_small_sets,
)

pytest_plugins = ["faults.fault_table"]


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch, tmp_path):
    """Use float32, only the bundled data sets, and an empty working directory."""
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def tiny(tmp_path):
    """A config that trains in seconds: change it by `dataclasses.replace`."""
    return tiny_config(tmp_path)


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
    from train_tf.run import training
    from train_tf.run.checkpoints import Checkpoints
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


@pytest.fixture(scope="session")
def small_sets(tmp_path_factory):
    """A data dir with the first 400 training and 100 test images of the bundled."""
    return made_once(tmp_path_factory, "small_sets", write_small_sets)


@pytest.fixture(scope="session")
def trained_cvae(tmp_path_factory, small_sets):
    """The config, results and output of a small VAE trained on a little of MNIST."""

    def make(folder):
        config = tiny_cvae_config(folder, small_sets)
        return config, *trained_by("train_cvae.py", config)

    return made_once(tmp_path_factory, "trained_cvae", make)
