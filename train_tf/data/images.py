"""Image files of any format, upright and in RGB."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from train_tf.errors import InputError


def image_files(folder):
    """All image files in a folder and its sub-folders, by their suffix.

    Returns:
        Sorted paths, without hidden files.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"Expected a folder of images. {folder} {problem}.")
    formats = Image.registered_extensions()
    # Pillow writes PDFs, and cannot read them; it reads MPO as JPEG.
    suffixes = {x for x, kind in formats.items() if kind in Image.OPEN or kind == "MPO"}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_image(path):
    """Read an image as RGB: upright, and on white where it is transparent.

    Converts grey, palette, CMYK, 16-bit and floating-point images; applies the EXIF
    orientation; takes the first frame of an animation.

    Args:
        path: a file in any format that Pillow opens; its suffix does not matter.

    Returns:
        (height, width, 3), uint8.

    Raises:
        InputError: if the file cannot be read completely; names it.
    """
    image = open_upright(path)
    if image.mode[0] in "IF":
        image = Image.fromarray(_to_eight_bits(np.asarray(image), path))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def open_upright(path):
    """Read a whole file and apply its EXIF orientation.

    Returns:
        A `PIL.Image.Image` in the mode of the file.

    Raises:
        InputError: if the file cannot be read completely; names it.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > Image.MAX_IMAGE_PIXELS:
                size = f"{image.width}x{image.height}"
                raise ValueError(f"{size}, over {Image.MAX_IMAGE_PIXELS:,} pixels")
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # each of Pillow's formats raises its own types
        reason = (
            "empty file" if _is_empty(path) else f"{error}".replace(f"{path}", "it")
        )
        raise InputError(f"{path}: cannot be read as an image ({reason})") from error


def _to_eight_bits(values, path):
    """Scale 16-bit integers, or floats in [0, 1], to [0, 255]."""
    scale = 255 / 65535 if values.dtype.kind in "iu" else 255
    scaled = values.astype("float64") * scale
    if not (np.isfinite(scaled).all() and 0 <= scaled.min() <= scaled.max() <= 255.0):
        raise InputError(
            f"{path}: expected integers from 0 to 65535 or fractions from 0 to 1 in an "
            f"image of type {values.dtype}, received {values.min()} to {values.max()}"
        )
    return np.round(scaled).astype("uint8")


def _is_empty(path):
    return Path(path).is_file() and Path(path).stat().st_size == 0
