"""Trains small models on as many workers as TF_CONFIG names; run by test_workers.py.

Usage: python tests/train_on_workers.py FOLDER DATA_DIR CASE... [OPTION...]

Options: "mirrored" trains by two replicas in one process, as on two GPUs;
"model_optimizers" keeps the optimizers of the models.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from cvae_tf.config import CVAEConfig
from train_tf import command_line
from unet_tf.config import UNetConfig

EPOCHS = 2
UNETS = {
    f"{down}-{up}-{loss}": {"down": down, "up": up, "loss": loss}
    for down, up, loss in (
        ("maxpool", "transpose", "bce"),
        ("maxpool", "transpose", "dice"),
        ("strided", "transpose", "bce"),
        ("strided", "upsample", "dice"),
    )
}
CASES = (*UNETS, "cvae")


def configs(folder, data_dir):
    """Trainings of ten steps per epoch; their batches do not divide among workers."""
    small = {
        "epochs": EPOCHS,
        "precision": "float32",
        "runs_dir": folder / "runs",
        "saved_models_dir": folder / "saved_models",
    }
    unet = UNetConfig(filters=2, depth=2, image_size=32, batch_size=26, **small)
    cvae = CVAEConfig(
        latents=3, detail_latents=1, batch_size=38, data_dir=data_dir, **small
    )
    options = {**{x: (unet, UNETS[x]) for x in UNETS}, "cvae": (cvae, {})}
    return {
        name: dataclasses.replace(config, name=name, **changes)
        for name, (config, changes) in options.items()
    }


def error_of_plain_keras(strategy):
    """The error of Keras's own `fit` on several workers; None without one."""
    import keras

    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    try:
        model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=4, verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def with_sgd(task_class):
    """The task with SGD, which does not magnify rounding errors of gradients."""
    import keras

    class SGDTask(task_class):
        def build(self):
            model = super().build()
            # The gradients of the VAE are sums over pixels, and large.
            rate = 3e-6 if isinstance(model.optimizer, keras.optimizers.Adam) else 0.001
            model.optimizer = keras.optimizers.SGD(rate)
            return model

        def results(self, model, run):
            np.savez(run.folder / "weights.npz", *model.get_weights())
            return super().results(model, run)

    return SGDTask


def use_two_replicas(cluster):
    """Split the CPU into two devices, one for each replica."""
    import tensorflow as tf

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    cluster.join = lambda name: cluster.Workers(strategy)


def main(folder, data_dir, *arguments):
    command_line.start_tensorflow()
    from cvae_tf.training import CVAETask
    from train_tf.distributed import cluster
    from train_tf.run import training
    from unet_tf.training import UNetTask

    folder = Path(folder)
    if "mirrored" in arguments:
        use_two_replicas(cluster)
    if "keras" in arguments:
        workers = cluster.join("auto")
        error = error_of_plain_keras(workers.strategy)
        if workers.is_chief:
            (folder / "keras.txt").write_text(str(error))
    for case in CASES:
        if case in arguments:
            task_class = CVAETask if case == "cvae" else UNetTask
            if "model_optimizers" not in arguments:
                task_class = with_sgd(task_class)
            training.train(configs(folder, data_dir)[case], task_class)


if __name__ == "__main__":
    main(*sys.argv[1:])
