"""Tiny trainings whose losses and metrics are stored beside this file.

    python tests/golden/trainings.py            # store all again
    python tests/golden/trainings.py NAME ...   # or some

On one machine the files stay the same, bit for bit, unless a training has changed.
"""

import itertools
import json
import sys
import tempfile
from pathlib import Path
from unittest import mock

import keras

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import tiny_config, write_small_sets  # noqa: E402

UNETS = {
    f"unet_{down}_{up}_{loss}": {"down": down, "up": up, "loss": loss}
    for down, up, loss in itertools.product(
        ("maxpool", "strided"),
        ("transpose", "upsample"),
        ("bce", "dice", "ce", "bce_dice"),
    )
}
ASSIGNMENT = (
    "unet_maxpool_transpose_bce",
    "unet_maxpool_transpose_dice",
    "unet_strided_transpose_bce",
    "unet_strided_upsample_dice",
)
CVAES = {
    f"cvae_{network}_{likelihood}": {"network": network, "likelihood": likelihood}
    for network, likelihood in itertools.product(
        ("compact", "plain", "resnet18"),
        ("gaussian", "bernoulli", "discretized_logistic"),
    )
}
CVAES["cvae_compact_cifar10"] = {"network": "compact", "dataset": "cifar10"}
CVAES["cvae_compact_no_decoder_label"] = {"network": "compact", "decoder_label": False}
CVAES["cvae_resnet18_no_decoder_label"] = {
    "network": "resnet18",
    "decoder_label": False,
}
FAST = (*ASSIGNMENT, "cvae_plain_gaussian")
ALL = (*UNETS, *CVAES)


METRICS = ("loss", "accuracy", "mean_iou", "negative_elbo", "distortion", "rate")


class Losses(keras.callbacks.Callback):
    """Records the loss after each step, averaged since the epoch began."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))


class Trained(Exception):
    """Raised after the last epoch to skip the slow report."""


def train_tiny(name, folder, small_sets):
    """Train one of `ALL`.

    Args:
        name: of the training.
        folder: where its run goes.
        small_sets: a data directory with a part of MNIST and CIFAR10.

    Returns:
        "losses", a list of the running mean of the loss after each step, and
        "validation", metrics after the last epoch.
    """
    import cvae_tf
    import unet_tf

    if name in UNETS:
        config = tiny_config(folder, **UNETS[name])
        train = unet_tf.train
    else:
        config = cvae_tf.CVAEConfig(
            **CVAES[name],
            epochs=1 if "resnet18" in name else 2,
            batch_size=38,
            learning_rate=3e-4,
            precision="float32",
            data_dir=small_sets,
            runs_dir=folder / "runs",
            saved_models_dir=folder / "saved_models",
        )
        train = cvae_tf.train
    losses, fit = Losses(), keras.Model.fit

    def recorded(model, *arguments, callbacks=(), **settings):
        callbacks = [x for x in callbacks if type(x).__name__ != "TensorBoard"]
        history = fit(model, *arguments, callbacks=[*callbacks, losses], **settings)
        raise Trained(history.history)

    try:
        with mock.patch.object(keras.Model, "fit", recorded):
            train(config)
    except Trained as trained:
        (history,) = trained.args
    last = {
        name: history[f"val_{name}"][-1] for name in METRICS if f"val_{name}" in history
    }
    return {"losses": losses.values, "validation": {x: float(last[x]) for x in last}}


def stored(name):
    """The path of the stored losses and metrics of a training."""
    return Path(__file__).with_name(f"{name}.json")


def main(names):
    """Train and store."""
    with tempfile.TemporaryDirectory() as folder:
        small_sets = Path(folder) / "small_sets"
        small_sets.mkdir()
        write_small_sets(small_sets)
        for name in names or ALL:
            recorded = train_tiny(name, Path(folder) / name, small_sets)
            stored(name).write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
