"""A training of the VAE: its files and results, resuming, every variant."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import run_eagerly, tiny_cvae_config

from cvae_tf.config import SEARCH_SPACE, TuneCVAEConfig
from cvae_tf.model import TERMS
from cvae_tf.training import CVAETask, train
from train_tf.data.datasets import DATASETS
from train_tf.errors import InputError


def test_run_leaves_metrics_figures_and_models(trained_cvae):
    config, results, output = trained_cvae
    for name in ("wrong_labels", "all_labels", "reconstructions", "curves"):
        with Image.open(config.run_folder / f"{name}.png") as figure:
            assert figure.width > 300
    projector = config.run_folder / "tensorboard/validation"
    assert (projector / "projector_config.pbtxt").exists()
    assert len((projector / "latents.tsv").read_text().splitlines()) == 100
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
    assert "relabel_cvae.py --model" in output
    assert results["run_name"] == config.run_name == "cvae_mnist_compact_gaussian"
    expected = {"auxiliary_label_accuracy", "search_objective"}
    assert expected <= results["validation"].keys()


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
def test_run_interrupted_in_an_epoch_ends_with_the_same_results(
    trained_cvae, tmp_path, small_sets, monkeypatch
):
    config = tiny_cvae_config(tmp_path, small_sets)
    with monkeypatch.context() as patch:
        patch.setattr("train_tf.run.training._callbacks", lambda *_: [Interruption()])
        with pytest.raises(KeyboardInterrupt):
            train(config)
    results = train(dataclasses.replace(config, resume=True))
    for split in ("validation", "test"):
        assert results[split] == trained_cvae[1][split]


def test_broken_images_stop_the_run_with_their_range(tmp_path, small_sets, monkeypatch):
    config = tiny_cvae_config(tmp_path, small_sets)
    monkeypatch.setattr(
        "cvae_tf.data.to_float", lambda x: tf.cast(x, tf.float32) * np.nan
    )
    message = "image from 0 to 1. Received: nan"
    with pytest.raises(InputError, match=message), run_eagerly():
        train(config)


def test_loss_of_nan_stops_the_run_with_a_message(tmp_path, small_sets, monkeypatch):
    config = dataclasses.replace(
        tiny_cvae_config(tmp_path, small_sets), learning_rate=10.0, schedule="constant"
    )
    monkeypatch.setattr("cvae_tf.model.normal_kl", lambda *level: np.nan)
    with pytest.raises(InputError, match="loss became nan"), run_eagerly():
        train(config)


@pytest.mark.parametrize(
    "change",
    [
        {"likelihood": "bernoulli"},
        {"likelihood": "discretized_logistic", "dataset": "cifar10"},
        {"decoder_label": False},
        {"network": "resnet18"},
        {"network": "plain"},
        {"network": "plain", "dataset": "cifar10", "decoder_label": False},
    ],
    ids=str,
)
@pytest.mark.slow
def test_each_variant_trains_and_exports(change, tmp_path, small_sets):
    change = {"name": "variant", "epochs": 1, **change}
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
    assert (one != other).any() == (config.decoder_label or config.network != "compact")


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_search_starts_from_the_defaults_of_the_data_set(dataset):
    config = TuneCVAEConfig(dataset=dataset).resolve()
    start = CVAETask.tracked_options(config)
    spec = DATASETS[dataset].cvae
    assert start["latents"] == spec.latents in SEARCH_SPACE["latents"]
    assert start["label_weight"] == spec.loss_weights["label"] > 0
    assert all(start[name] is not None for name in SEARCH_SPACE)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_loss_is_scaled_in_float16_alone(policy, tmp_path, small_sets):
    keras.config.set_dtype_policy(policy)
    model = CVAETask(tiny_cvae_config(tmp_path, small_sets)).build()
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
