"""Predict masks with a SavedModel."""

import collections
from pathlib import Path

import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from train_tf import export
from train_tf.data.images import image_files, read_image
from train_tf.distributed.cluster import share_of_this_worker
from train_tf.errors import InputError
from train_tf.files import atomic_write
from unet_tf.data import resize_image
from unet_tf.report import overlay


class Segmenter:
    """Segments images of any size with a UNet's SavedModel.

    Args:
        model: folder saved_models/<name>/<version>, or saved_models/<name> for its
            highest version.
        flip: average with the prediction of the flipped image: better by half a point
            of accuracy on the pets, in twice the time.

    Attributes:
        class_names, colours: one per class.

    Raises:
        InputError: if the folder holds no SavedModel of a UNet.

    Example:
        >>> segmenter = Segmenter("saved_models/pets_maxpool_transpose_dice")
        >>> mask = segmenter(image)  # image: (height, width, 3), uint8
    """

    def __init__(self, model, flip=False):
        self.flip = flip
        self._model, description = export.load(model, "UNet")
        self._signature = self._model.signatures["serving_default"]
        self.image_size = description["image_size"]
        self.class_names = description["class_names"]
        self.colours = description["colours"]

    def __call__(self, image):
        """Segment an image, (height, width, 3), into class ids, (height, width).

        Both are uint8. The image is resized to the network's size, and the
        probabilities, not the mask, are resized back, which keeps outlines smooth.
        """
        resized = tf.cast(resize_image(image, self.image_size), tf.float32) / 255
        probabilities = self._signature(image=resized[None])["probabilities"]
        if self.flip:
            flipped = self._signature(image=resized[None, :, ::-1])["probabilities"]
            probabilities += flipped[:, :, ::-1]
        probabilities = tf.image.resize(probabilities, image.shape[:2])
        return tf.argmax(probabilities[0], -1).numpy().astype("uint8")


def predict(model, images, out, flip=False):
    """Write a mask and an overlay for an image, or for each image in a folder.

    If TF_CONFIG names several workers, each of them takes a share of the images.

    Args:
        model, flip: see `Segmenter`.
        images: an image file in any format that Pillow reads, or a folder of them.
        out: the folder to write to: masks/, indexed PNGs with the classes' colours, and
            overlays/, under the images' own folders and names. If it is inside
            `images`, its files are not taken for images.

    Returns:
        The number of images written, and a message for each unreadable file, which is
        skipped.

    Raises:
        InputError: if there is no such model, or no image.
    """
    images, out = Path(images), Path(out)
    files = [images] if images.is_file() else _input_files(images, out)
    if not files:
        raise InputError(f"No images in {images}")
    segmenter = Segmenter(model, flip)
    names = _png_names(files, images.parent if images.is_file() else images)
    files = share_of_this_worker(files)
    palette = [channel for colour in segmenter.colours for channel in colour]

    problems = []
    for file in tqdm(files, "Predicting", unit="image", disable=None):
        try:
            image = read_image(file)
        except InputError as error:
            problems.append(str(error))
            continue
        mask = segmenter(image)
        indexed = Image.fromarray(mask, "P")
        indexed.putpalette(palette)
        blended = Image.fromarray(overlay(image, mask, segmenter.colours))
        for kind, png in (("masks", indexed), ("overlays", blended)):
            with atomic_write(out / kind / names[file]) as partial:
                png.save(partial)
    return len(files) - len(problems), problems


def _input_files(folder, out):
    """Image files in a folder, without those written to `out` before."""
    written = {(out / kind).resolve() for kind in ("masks", "overlays")}
    files = image_files(folder)
    return [file for file in files if written.isdisjoint(file.resolve().parents)]


def _png_names(files, root):
    plain = {file: file.relative_to(root).with_suffix(".png") for file in files}
    counts = collections.Counter(plain.values())
    # If two outputs in a folder would have the same name, its files keep their suffix.
    clashing = {name.parent for name, count in counts.items() if count > 1}
    return {
        file: name.with_name(file.name + ".png") if name.parent in clashing else name
        for file, name in plain.items()
    }
