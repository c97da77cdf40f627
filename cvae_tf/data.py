"""Labelled images in memory, and batches of them."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from train_tf.data import pipeline
from train_tf.data.datasets import DATASETS
from train_tf.data.splits import split_examples
from train_tf.data.tfds import open_dataset, read_arrays
from train_tf.errors import InputError

VALIDATION = 0.05  # share of the training images
WRONG_LABEL_IMAGES = 25  # test images in wrong_labels.png


class Split(NamedTuple):
    images: np.ndarray  # (count, height, width, channels), uint8
    labels: np.ndarray  # class ids, (count,), int32


class LabelledImages(NamedTuple):
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    horizontal_flip: bool  # see `train_tf.data.datasets.CVAESpec`

    @property
    def image_shape(self):
        return self.test.images.shape[1:]

    @property
    def counts(self):
        splits = ("train", "validation", "test")
        return {name: len(getattr(self, name).labels) for name in splits}


def load_images(dataset, data_dir=None, seed=0):
    """Read a data set into memory, and print its path and its splits.

    Args:
        dataset: a name in `train_tf.data.datasets.labelled_datasets()`.
        data_dir: see `train_tf.data.datasets.find_dataset`.
        seed: integer seed of the choice of validation images.

    Returns:
        `LabelledImages`.

    Raises:
        InputError: if the data set is not found, or has too few test images.
    """
    builder = open_dataset(dataset, data_dir)

    def read(split):
        examples = builder.as_dataset(split=split)
        images, labels = read_arrays(
            examples.map(lambda example: (example["image"], example["label"])), builder
        )
        return Split(images, labels.astype("int32"))

    training, test = read("train"), read("test")
    spec = DATASETS[dataset]
    classes, found = len(spec.class_names), len(set(test.labels.tolist()))
    if len(test.labels) < WRONG_LABEL_IMAGES or found < classes:
        raise InputError(
            f"Expected {WRONG_LABEL_IMAGES} test images or more, and each of "
            f"{classes} classes among them. Received: {len(test.labels)} of {found} "
            f"classes in {builder.data_dir}"
        )
    rows = split_examples(len(training.labels), {"validation": VALIDATION}, seed)
    splits = {
        name: Split(*(array[i] for array in training)) for name, i in rows.items()
    }
    data = LabelledImages(
        **splits,
        test=test,
        class_names=spec.class_names,
        horizontal_flip=spec.cvae.horizontal_flip,
    )
    print("Split:", ", ".join(f"{name} {n:,}" for name, n in data.counts.items()))
    return data


def training_batches(data, config, epochs, replicas=pipeline.SINGLE_REPLICA):
    """Batches of a `range` of epochs: float32 images in [0, 1], and labels."""

    def prepare(batch, labels, draws):
        if data.horizontal_flip:
            batch = random_flip(batch, draws)
        return to_float(batch), labels

    return pipeline.training_batches(
        data.train, config.batch_size, prepare, epochs, config.seed, replicas
    )


def evaluation_batches(split, batch_size, replicas=pipeline.SINGLE_REPLICA):
    """Batches of a `Split` in its order: float32 images in [0, 1], and labels."""

    def prepare(images, labels):
        return to_float(images), labels

    return pipeline.evaluation_batches(tuple(split), batch_size, prepare, replicas)


def random_flip(images, draws):
    """Flip each image horizontally with probability 1/2.

    Args:
        images: (batch, height, width, channels).
        draws: the `train_tf.data.pipeline.Draws` of the batch.
    """
    uniform = keras.random.uniform((draws.batch_size, 1, 1, 1), seed=draws)
    return tf.where(draws.rows(uniform) < 0.5, images, tf.reverse(images, [2]))


def to_float(images):
    """Convert uint8 images to float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255


def wrong_labels(labels, classes, seed):
    """Draw another label, uniformly, for each of the class ids `labels`, (count,).

    The result is (count,), int32. The same integer seed gives the same labels.
    """
    steps = np.random.default_rng(seed).integers(1, classes, len(labels))
    return ((labels + steps) % classes).astype("int32")
