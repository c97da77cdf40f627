"""Images and masks for training: the pets, or your own folders."""

import colorsys
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from train_tf.data import pipeline
from train_tf.data.datasets import DATASETS
from train_tf.data.folders import read_mask_folder
from train_tf.data.images import image_files
from train_tf.data.splits import split_examples
from train_tf.data.tfds import open_dataset, read_arrays
from train_tf.devices import require_memory
from train_tf.errors import InputError
from unet_tf.augmentation import augmentation
from unet_tf.masks import IGNORE

PETS = "oxford_iiit_pet"
ARTICLE_SEED = 123  # seed of the article's split (Bhatia's U-Net for pets)

# Black, then Okabe and Ito's palette for the colour-blind; the first four also differ
# in grey.
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


class Split(NamedTuple):
    images: np.ndarray  # (count, size, size, 3), uint8
    masks: np.ndarray  # class ids, (count, size, size, 1), uint8; 255 is ignored
    names: np.ndarray  # the images' file names


class SegmentationData(NamedTuple):
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]  # RGB of each class, 0 to 255

    @property
    def file_names(self):
        """The file names of the images in each split."""
        splits = ("train", "validation", "test")
        return {split: getattr(self, split).names.tolist() for split in splits}

    @property
    def counts(self):
        return {split: len(names) for split, names in self.file_names.items()}


def load_data(config):
    """Read, resize and split a `UNetConfig`'s images and masks: `SegmentationData`.

    Raises:
        InputError: if data is missing or invalid.
    """
    data = _load_folders(config) if config.images else _load_pets(config)
    counts = (f"{split} {count:,}" for split, count in data.counts.items())
    print(f"Split: {', '.join(counts)}")
    return data


def training_batches(data, config, epochs, replicas=pipeline.SINGLE_REPLICA):
    """Augmented batches of a `range` of epochs: float32 images in [0, 1], masks."""
    changes = augmentation() if config.augment else ()

    def prepare(images, masks, draws):
        images, masks = _to_float(images, masks)
        return pipeline.augment(changes, images, masks, draws)

    return pipeline.training_batches(
        data.train[:2], config.batch_size, prepare, epochs, config.seed, replicas
    )


def evaluation_batches(split, batch_size, replicas=pipeline.SINGLE_REPLICA):
    """Batches of a split in its order: float32 images in [0, 1], masks."""
    return pipeline.evaluation_batches(split[:2], batch_size, _to_float, replicas)


def class_colours(count):
    """RGB of each of `count` classes: `COLOURS`, then light and dark distinct hues."""
    further = (
        colorsys.hsv_to_rgb(0.618 * number % 1, 0.6, (1, 0.6)[number % 2])
        for number in range(count - len(COLOURS))
    )
    further = (tuple(round(255 * channel) for channel in rgb) for rgb in further)
    return (*COLOURS[:count], *further)


def resize_image(image, size):
    """Resize an image, (height, width, 3), to (size, size, 3), uint8."""
    resized = tf.image.resize(tf.cast(image, tf.float32), (size, size), antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)


def resize_mask(mask, size):
    """Resize a mask, (height, width, 1), by nearest neighbour: no new ids appear."""
    return tf.image.resize(mask, (size, size), method="nearest")


def _to_float(images, masks):
    return tf.cast(images, tf.float32) / 255, masks


def _load_pets(config):
    builder = open_dataset(PETS, config.data_dir)
    size, splits = config.image_size, builder.info.splits
    _check_fits(sum(splits[name].num_examples for name in ("train", "test")), size)

    def read(split):
        def pair(example):
            # Stored as 1 pet, 2 background, 3 outline.
            mask = resize_mask(example["segmentation_mask"] - 1, size)
            return resize_image(example["image"], size), mask, example["file_name"]

        examples = builder.as_dataset(split=split).map(pair, tf.data.AUTOTUNE)
        images, masks, names = read_arrays(examples, builder)
        return Split(images, masks, np.array([name.decode() for name in names]))

    if config.split == "article":
        splits = _draw(read("train+test"), {"test": 0.2}, ARTICLE_SEED)
        splits["validation"] = splits["test"]
    else:
        splits = _draw(read("train"), {"validation": 0.15}, config.seed)
        splits["test"] = read("test")
    spec = DATASETS[PETS]
    return SegmentationData(
        **splits, class_names=spec.class_names, colours=spec.colours
    )


def _load_folders(config):
    size = config.image_size
    _check_fits(len(image_files(config.images)), size)

    def resize(image, mask):
        return resize_image(image, size).numpy(), resize_mask(mask, size).numpy()

    folder = read_mask_folder(
        config.images, config.masks, config.classes, resize, IGNORE
    )
    print(
        f"Data: {len(folder.images):,} images from {config.images} with masks "
        f"from {config.masks}, {folder.classes} classes"
    )
    everything = Split(folder.images, folder.masks, folder.names)
    splits = _draw(everything, {"validation": 0.15, "test": 0.15}, config.seed)
    for name, split in splits.items():
        if (split.masks == IGNORE).all():
            raise InputError(
                f"Expected masks with pixels that count in the {name} split. All "
                f"{len(split.masks)} masks of it in {config.masks} are {IGNORE} "
                "(ignored) everywhere."
            )
    return SegmentationData(
        **splits,
        class_names=tuple(f"class_{number}" for number in range(folder.classes)),
        colours=class_colours(folder.classes),
    )


def _check_fits(count, size):
    require_memory(
        2 * 4 * count * size**2,  # read, then stacked or split: two copies of 4 bytes
        f"{count:,} images and masks of {size}x{size} pixels",
        "Use a smaller --image-size, or fewer images.",
    )


def _draw(everything, shares, seed):
    rows_of = split_examples(len(everything.images), shares, seed)
    return {
        name: Split(*(array[rows] for array in everything))
        for name, rows in rows_of.items()
    }
