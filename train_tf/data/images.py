"""Picture files of any kind, as a person sees them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from train_tf.errors import InputError


def image_files(folder):
    """All files in a folder, and the folders in it, that are named like pictures.

    Returns:
        Sorted paths; hidden files are left out.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"Expected a folder of pictures. {folder} {what}.")
    kinds = Image.registered_extensions()
    # Pillow writes PDFs, and cannot read them; it reads MPO as JPEG.
    endings = {x for x, kind in kinds.items() if kind in Image.OPEN or kind == "MPO"}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in endings
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_image(path):
    """Read a picture as a person sees it: upright, in colour, on white.

    Grey, palette, CMYK, 16-bit and floating-point pictures become RGB; what is
    transparent shows white; EXIF rotation is applied; of an animation, the first frame.

    Args:
        path: a file in any format that Pillow opens, whatever its name ends in.

    Returns:
        (height, width, 3), uint8.

    Raises:
        InputError: if the file cannot be read to its end; names it.
    """
    picture = open_upright(path)
    if picture.mode[0] in "IF":
        picture = Image.fromarray(_to_eight_bits(np.asarray(picture), path))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.asarray(picture.convert("RGB"))


def open_upright(path):
    """Read a file wholly and apply its EXIF rotation.

    Returns:
        A `PIL.Image.Image` in the mode of the file.

    Raises:
        InputError: if the file cannot be read to its end; names it.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
                size = f"{picture.width}x{picture.height}"
                raise ValueError(f"{size}, over {Image.MAX_IMAGE_PIXELS:,} pixels")
            picture.load()
            return ImageOps.exif_transpose(picture)
    except Exception as error:  # each of Pillow's formats raises errors of its own
        what = "empty file" if _is_empty(path) else f"{error}".replace(f"{path}", "it")
        raise InputError(f"{path}: cannot be read as a picture ({what})") from error


def _to_eight_bits(values, path):
    """Scale 16-bit integers, or floats in [0, 1], to [0, 255]."""
    scale = 255 / 65535 if values.dtype.kind in "iu" else 255
    scaled = values.astype("float64") * scale
    if not (np.isfinite(scaled).all() and 0 <= scaled.min() <= scaled.max() <= 255.0):
        raise InputError(
            f"{path}: expected whole numbers from 0 to 65535 or fractions from 0 to 1 "
            f"in a picture of type {values.dtype}, received {values.min()} to "
            f"{values.max()}"
        )
    return np.round(scaled).astype("uint8")


def _is_empty(path):
    return Path(path).is_file() and Path(path).stat().st_size == 0
