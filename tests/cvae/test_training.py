"""A training of the VAE: what it leaves, and going on where it stopped."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import tiny_cvae_config, uncompiled

from cvae_tf.config import SPACE, TuneCVAEConfig
from cvae_tf.model import TERMS
from cvae_tf.training import CVAETask, train
from train_tf.errors import InputError


def test_run_leaves_figures_pictures_and_a_saved_model(trained_cvae):
    config, results, output = trained_cvae
    for name in ("wrong_labels", "all_labels", "reconstructions", "curves"):
        with Image.open(config.run_folder / f"{name}.png") as picture:
            assert picture.width > 300
    projected = config.run_folder / "tensorboard/validation"
    assert (projected / "projector_config.pbtxt").exists()
    assert len((projected / "latents.tsv").read_text().splitlines()) == 100
    rows = list(csv.DictReader((config.run_folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {f"val_{name}" for name in TERMS} <= set(rows[0])
    test = results["test"]
    assert test["negative_elbo"] == pytest.approx(
        test["distortion"] + test["rate"], rel=1e-4
    )
    assert results["images"] == {"train": 380, "validation": 20, "test": 100}
    assert results["latents"] == 3 + 7 * 7 + 14 * 14
    assert [len(level) for level in results["rate_per_latent"]] == [3, 1, 1]
    assert json.loads((config.run_folder / "results.json").read_text()) == results
    assert f"{test['negative_elbo']:.1f}" in output
    assert "wrong_labels.py --model" in output


class Interruption(keras.callbacks.Callback):
    """Stops a training in the middle of its second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 7:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_training_learns(tmp_path, small_sets):
    config = dataclasses.replace(tiny_cvae_config(tmp_path, small_sets), epochs=30)
    train(config)
    rows = list(csv.DictReader((config.run_folder / "history.csv").open()))
    nats = [float(row["val_negative_elbo"]) for row in rows]
    assert min(nats) < nats[0] - 500


@pytest.mark.slow
def test_run_stopped_in_an_epoch_ends_as_if_it_had_not_been(
    trained_cvae, tmp_path, small_sets, monkeypatch
):
    config = tiny_cvae_config(tmp_path, small_sets)
    with monkeypatch.context() as patch:
        patch.setattr("train_tf.run.task._watchers", lambda *_: [Interruption()])
        with pytest.raises(KeyboardInterrupt):
            train(config)
    results = train(dataclasses.replace(config, resume=True))
    for part in ("validation", "test"):
        assert results[part] == trained_cvae[1][part]


def test_broken_images_stop_the_run_with_a_sentence(tmp_path, small_sets, monkeypatch):
    config = dataclasses.replace(
        tiny_cvae_config(tmp_path, small_sets), learning_rate=10.0, schedule="constant"
    )
    monkeypatch.setattr(
        "cvae_tf.data.scaled", lambda x: tf.cast(x, tf.float32) * np.nan
    )
    with pytest.raises(InputError, match="loss became nan"), uncompiled():
        train(config)


@pytest.mark.parametrize(
    "change",
    [
        {"likelihood": "bernoulli"},
        {"likelihood": "discretized_logistic", "dataset": "cifar10"},
        {"decoder_label": False},
        {"network": "resnet18"},
    ],
    ids=str,
)
@pytest.mark.slow
def test_each_form_trains_and_exports(change, tmp_path, small_sets):
    change = {"name": "form", "epochs": 1, **change}
    if "network" in change:
        change["detail_latents"] = None
    config = dataclasses.replace(tiny_cvae_config(tmp_path, small_sets), **change)
    results = train(config)
    assert np.isfinite(list(results["test"].values())).all()
    saved = tf.saved_model.load(results["saved_model"])
    shape = (1, 32, 32, 3) if config.dataset == "cifar10" else (1, 28, 28, 1)
    relabel = saved.signatures["serving_default"]
    one, other = (
        relabel(image=tf.ones(shape) / 2, label=tf.constant([label]))["image"].numpy()
        for label in (0, 1)
    )
    assert one.shape == shape
    assert (one != other).any() == config.decoder_label


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_what_suits_the_images_is_where_a_search_starts(dataset):
    config = TuneCVAEConfig(dataset=dataset)
    start = CVAETask.tracked_options(config)
    assert start["latents"] == config.sizes["latents"] in SPACE["latents"]
    assert start["label_accuracy"] == config.balance[2] > 0
    assert all(start[name] is not None for name in SPACE)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_loss_is_scaled_in_float16_alone(policy, tmp_path, small_sets):
    keras.config.set_dtype_policy(policy)
    model = CVAETask(tiny_cvae_config(tmp_path, small_sets)).build()
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
