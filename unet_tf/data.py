"""Photographs and masks for training, from the pets or from your own folders."""

import colorsys
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from keras import layers

from train_tf.data import pipeline
from train_tf.data.datasets import open_dataset, read_arrays, split_examples
from train_tf.data.folders import read_mask_folder
from train_tf.data.images import image_files
from train_tf.devices import check_fits
from train_tf.errors import InputError
from unet_tf.masks import IGNORE

PET_CLASSES = ("pet", "background", "outline")
ARTICLE_SEED = 123

# Black, then the colours of Okabe and Ito, which the colour-blind can tell apart; the
# first four in grey, too.
COLOURS = (
    (0, 0, 0),
    (230, 159, 0),
    (0, 114, 178),
    (240, 228, 66),
    (213, 94, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
)
PET_COLOURS = (COLOURS[1], COLOURS[0], COLOURS[2])  # the background is black


class Part(NamedTuple):
    """Photographs and their masks, all of one size, in one of the three parts."""

    photos: np.ndarray  # (count, size, size, 3), uint8
    masks: np.ndarray  # class ids, (count, size, size, 1), uint8; 255 is ignored
    names: np.ndarray  # of the photographs' files


class SegmentationData(NamedTuple):
    """What a UNet is trained on, chosen by, and judged on."""

    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]  # RGB of each class, 0 to 255

    @property
    def split(self):
        """The names of the photographs in each part."""
        parts = ("train", "validation", "test")
        return {part: getattr(self, part).names.tolist() for part in parts}

    @property
    def counts(self):
        """How many photographs each part has."""
        return {part: len(names) for part, names in self.split.items()}


def load_data(config):
    """Find and split the photographs that a `UNetConfig` names, and say what was found.

    Raises:
        InputError: if there are none, or files among them are not in order.
    """
    photographs = _own(config) if config.images else _pets(config)
    counts = (f"{part} {count:,}" for part, count in photographs.counts.items())
    print(f"Split: {', '.join(counts)}")
    return photographs


def training_batches(photographs, config, epochs, replicas=pipeline.ALONE):
    """Augmented batches of the epochs in a `range`: images in [0, 1], masks."""
    changes = augmentation() if config.augment else ()

    def prepare(photos, masks, draws):
        images, masks = _scaled(photos, masks)
        return pipeline.augment(changes, images, masks, draws)

    return pipeline.training_batches(
        photographs.train[:2],
        config.batch_size,
        prepare,
        epochs,
        config.seed,
        replicas,
    )


def evaluation_batches(part, batch_size, replicas=pipeline.ALONE):
    """Batches of one part in its order: float32 images in [0, 1], masks."""
    return pipeline.evaluation_batches(part[:2], batch_size, _scaled, replicas)


def augmentation():
    """What happens to a training photograph, and to its mask, at random."""
    return (
        layers.RandomFlip("horizontal"),
        layers.RandomZoom((-0.25, 0.25), fill_mode="reflect"),
        layers.RandomRotation(0.06, fill_mode="reflect"),
        layers.RandomBrightness(0.2, value_range=(0, 1)),
        layers.RandomContrast(0.3, value_range=(0, 1)),
    )


def class_colours(count):
    """A colour for each class: of `COLOURS`, then light and dark hues far apart."""
    further = (
        colorsys.hsv_to_rgb(0.618 * number % 1, 0.6, (1, 0.6)[number % 2])
        for number in range(count - len(COLOURS))
    )
    further = (tuple(round(255 * part) for part in colour) for colour in further)
    return (*COLOURS[:count], *further)


def resize_photo(photo, size):
    """Squeeze a photograph, (height, width, 3), to (size, size, 3), uint8."""
    resized = tf.image.resize(tf.cast(photo, tf.float32), (size, size), antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)


def resize_mask(mask, size):
    """Squeeze a mask, (height, width, 1), by its nearest pixels: no new ids appear."""
    return tf.image.resize(mask, (size, size), method="nearest")


def _scaled(photos, masks):
    return tf.cast(photos, tf.float32) / 255, masks


def _pets(config):
    builder = open_dataset("oxford_iiit_pet", config.data_dir)
    size, splits = config.image_size, builder.info.splits
    _check_fits(sum(splits[part].num_examples for part in ("train", "test")), size)

    def read(split):
        def pair(example):
            # Stored as 1 pet, 2 background, 3 outline.
            mask = resize_mask(example["segmentation_mask"] - 1, size)
            return resize_photo(example["image"], size), mask, example["file_name"]

        examples = builder.as_dataset(split=split).map(pair, tf.data.AUTOTUNE)
        photos, masks, names = read_arrays(examples, builder)
        return Part(photos, masks, np.array([name.decode() for name in names]))

    if config.split == "article":
        parts = _draw(read("train+test"), {"test": 0.2}, ARTICLE_SEED)
        parts["validation"] = parts["test"]
    else:
        parts = _draw(read("train"), {"validation": 0.15}, config.seed)
        parts["test"] = read("test")
    return SegmentationData(**parts, class_names=PET_CLASSES, colours=PET_COLOURS)


def _own(config):
    size = config.image_size
    _check_fits(len(image_files(config.images)), size)

    def resize(photo, mask):
        return resize_photo(photo, size).numpy(), resize_mask(mask, size).numpy()

    folder = read_mask_folder(config.images, config.masks, config.classes, resize)
    print(
        f"Data: {len(folder.photos):,} photographs from {config.images} with masks "
        f"from {config.masks}, {folder.classes} classes"
    )
    everything = Part(folder.photos, folder.masks, folder.names)
    parts = _draw(everything, {"validation": 0.15, "test": 0.15}, config.seed)
    for name, part in parts.items():
        if (part.masks == IGNORE).all():
            raise InputError(
                f"Expected masks with pixels that count in the {name} part too. All "
                f"{len(part.masks)} of it in {config.masks} are ignored (255) alone."
            )
    numbers = range(folder.classes)
    return SegmentationData(
        **parts,
        class_names=tuple(f"class_{number}" for number in numbers),
        colours=class_colours(folder.classes),
    )


def _check_fits(count, size):
    check_fits(
        2 * 4 * count * size**2,  # read, then put together or split
        f"{count:,} photographs and masks of {size}x{size} pixels",
        "Make --image-size smaller, or take fewer photographs.",
    )


def _draw(everything, shares, seed):
    rows_of = split_examples(len(everything.photos), shares, seed)
    return {
        name: Part(*(array[rows] for array in everything))
        for name, rows in rows_of.items()
    }
