"""Images and their labels, from MNIST or CIFAR10."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from train_tf.data import pipeline
from train_tf.data.datasets import open_dataset, read_arrays, split_examples
from train_tf.errors import InputError

VALIDATION = 0.05  # share of the training images that no step sees
SHOWN = 25  # test images, in pictures of wrong labels


class Part(NamedTuple):
    """Images and labels of one part."""

    images: np.ndarray  # (count, height, width, channels), uint8
    labels: np.ndarray  # class ids, (count,), int32


class LabelledImages(NamedTuple):
    """What a conditional VAE is trained on, chosen by, and judged on."""

    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    mirrored: bool  # as `About`

    @property
    def image_shape(self):
        """(height, width, channels)."""
        return self.test.images.shape[1:]

    @property
    def counts(self):
        """How many images each part has."""
        parts = ("train", "validation", "test")
        return {part: len(getattr(self, part).labels) for part in parts}


class About(NamedTuple):
    """What a data set does not say of itself."""

    class_names: tuple[str, ...]
    mirrored: bool  # whether a mirrored image is as good as the image


DATASETS = {
    "mnist": About(tuple("0123456789"), mirrored=False),
    "cifar10": About(
        (
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        mirrored=True,
    ),
}


def load_images(dataset, data_dir=None, seed=0):
    """Read a set whole, and say what was found.

    Args:
        dataset: "mnist" or "cifar10".
        data_dir: as in `train_tf.data.datasets.find_dataset`.
        seed: what the validation part is drawn by.

    Raises:
        InputError: if the set is nowhere, or has too few test images to be shown.
    """
    builder = open_dataset(dataset, data_dir)

    def read(split):
        examples = builder.as_dataset(split=split)
        images, labels = read_arrays(
            examples.map(lambda example: (example["image"], example["label"])), builder
        )
        return Part(images, labels.astype("int32"))

    everything, test = read("train"), read("test")
    about = DATASETS[dataset]
    classes = len(about.class_names)
    seen = len(set(test.labels.tolist()))
    if len(test.labels) < SHOWN or seen < classes:
        raise InputError(
            f"Expected {SHOWN} test images or more, and each of {classes} classes "
            f"among them. Received: {len(test.labels)} of {seen} classes in "
            f"{builder.data_dir}"
        )
    rows_of = split_examples(len(everything.labels), {"validation": VALIDATION}, seed)
    parts = {
        part: Part(*(array[rows] for array in everything))
        for part, rows in rows_of.items()
    }
    images = LabelledImages(**parts, test=test, **about._asdict())
    print("Split:", ", ".join(f"{key} {n:,}" for key, n in images.counts.items()))
    return images


def training_batches(images, config, epochs, replicas=pipeline.ALONE):
    """Batches of the epochs in a `range`: float32 images in [0, 1], and labels."""

    def prepare(batch, labels, draws):
        if images.mirrored:
            batch = mirror_half(batch, draws)
        return scaled(batch), labels

    return pipeline.training_batches(
        images.train, config.batch_size, prepare, epochs, config.seed, replicas
    )


def evaluation_batches(part, batch_size, replicas=pipeline.ALONE):
    """Batches of one part in its order: float32 images in [0, 1], and labels."""

    def prepare(images, labels):
        return scaled(images), labels

    return pipeline.evaluation_batches(tuple(part), batch_size, prepare, replicas)


def mirror_half(images, draws):
    """Mirror each image with chance 1/2, by the `train_tf.data.pipeline.Draws`."""
    lot = keras.random.uniform((draws.batch_size, 1, 1, 1), seed=draws)
    return tf.where(draws.own(lot) < 0.5, images, tf.reverse(images, [2]))


def scaled(images):
    """uint8 images on [0, 1], float32."""
    return tf.cast(images, tf.float32) / 255


def wrong_labels(labels, classes, seed):
    """For each label another one, by lot: the same for the same seed.

    Args:
        labels: class ids, (count,).
        classes: how many there are.
        seed: a whole number.

    Returns:
        Class ids, (count,), int32.
    """
    steps = np.random.default_rng(seed).integers(1, classes, len(labels))
    return ((labels + steps) % classes).astype("int32")
