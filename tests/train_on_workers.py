"""Trains small models by however many workers TF_CONFIG names; run by test_workers.py.

Usage: python tests/train_on_workers.py FOLDER DATA_DIR CASE...

With "mirrored" among the cases, two replicas of one process train, as two GPUs would,
and with "own", models have their own optimizers.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from unet_tables import PAIRS

from cvae_tf.config import CVAEConfig
from train_tf import command_line
from unet_tf.config import UNetConfig

EPOCHS = 2


def configs(folder, data_dir):
    """Trainings of ten steps an epoch, whose batches no number of workers divides."""
    kept = {"runs_dir": folder / "runs", "saved_models_dir": folder / "saved_models"}
    small = {"epochs": EPOCHS, "precision": "float32", **kept}
    unet = UNetConfig(filters=2, depth=2, image_size=32, batch_size=26, **small)
    cvae = CVAEConfig(
        latents=3, detail_latents=1, batch_size=38, data_dir=data_dir, **small
    )
    return {
        **{
            f"{down}-{up}-{loss}": dataclasses.replace(
                unet, down=down, up=up, loss=loss, name=f"{down}-{up}-{loss}"
            )
            for down, up, loss in PAIRS
        },
        "cvae": dataclasses.replace(cvae, name="cvae"),
    }


def keras_by_itself(strategy):
    """What Keras's own fit raises under several workers; None if it goes well."""
    import keras

    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    try:
        model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=4, verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def plain(task_class):
    """The task with an optimizer that does not blow up the last digit of a gradient."""
    import keras

    class Plain(task_class):
        def build(self):
            model = super().build()
            rate = 1e-5 if isinstance(model.optimizer, keras.optimizers.Adam) else 0.001
            model.optimizer = keras.optimizers.SGD(rate)
            return model

        def results(self, model, run):
            np.savez(run.folder / "weights.npz", *model.get_weights())
            return super().results(model, run)

    return Plain


def mirror(cluster):
    """Let two halves of this processor be two GPUs."""
    import tensorflow as tf

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    cluster.choose = lambda name: strategy


def main(folder, data_dir, *cases):
    command_line.start_tensorflow()
    from cvae_tf.training import CVAETask
    from train_tf.distributed import cluster
    from train_tf.run import task as training
    from unet_tf.training import UNetTask

    folder, flags = Path(folder), {"mirrored", "own"} & {*cases}
    cases = [case for case in cases if case not in flags]
    if "mirrored" in flags:
        mirror(cluster)
    strategy = cluster.choose("auto")
    if "keras" in cases:
        raised = keras_by_itself(strategy)
        if cluster.is_chief(strategy):
            (folder / "keras.txt").write_text(str(raised))
        cases = [case for case in cases if case != "keras"]
    for case in cases:
        task_class = CVAETask if case == "cvae" else UNetTask
        task_class = task_class if "own" in flags else plain(task_class)
        training.train(configs(folder, data_dir)[case], task_class)


if __name__ == "__main__":
    main(*sys.argv[1:])
