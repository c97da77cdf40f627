"""`decode_image` gives the same pixels as Pillow, or rejects the bytes."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from train.test_images import COLOUR, GREY, as_mode

from train_tf.data.decode_image import MAX_PIXELS, decode_image
from train_tf.data.images import read_image

decode = tf.function(decode_image, input_signature=[tf.TensorSpec((), tf.string)])
HALF = np.dstack([COLOUR, GREY])
IMAGES = {
    "jpg": as_mode("RGB"),
    "grey.jpg": as_mode("L", GREY),
    "png": as_mode("RGB"),
    "grey.png": as_mode("L", GREY),
    "grey_alpha.png": as_mode("LA", HALF),
    "rgba.png": Image.fromarray(HALF),
    "palette.png": as_mode("P"),
    "one_bit.png": as_mode("1"),
    "clear_colour.png": as_mode("RGB"),
    "grey16.png": Image.fromarray(GREY.astype("uint16") * 250),
    "bmp": as_mode("RGB"),
    "grey.bmp": as_mode("L", GREY),
    "palette.bmp": as_mode("P"),
}
ROUNDED = {"grey_alpha.png", "rgba.png"}  # the last bit, where colours are mixed


def saved(image, name, **settings):
    file = io.BytesIO()
    image.save(file, {"jpg": "jpeg"}.get(name, name), **settings)
    return file.getvalue()


@pytest.mark.parametrize("name", IMAGES)
def test_graph_decodes_what_pillow_opens(name, tmp_path):
    settings = (
        {"transparency": tuple(COLOUR[5, 7].tolist())}
        if name == "clear_colour.png"
        else {}
    )
    contents = saved(IMAGES[name], name.split(".")[-1], **settings)
    (tmp_path / "x").write_bytes(contents)
    wanted, seen = read_image(tmp_path / "x"), decode(contents).numpy()
    assert (seen.shape, seen.dtype) == (wanted.shape, np.uint8)
    apart = np.abs(seen.astype(int) - wanted)
    assert apart.max() <= (name in ROUNDED)


@pytest.mark.parametrize("file_format", ["jpg", "png"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [*range(1, 10), 200])
def test_image_is_rotated_by_its_exif_orientation(
    orientation, order, file_format, tmp_path
):
    exif = Image.Exif()
    exif.endian = order
    exif[271], exif[274], exif[305] = "a camera", orientation, "a program"
    contents = saved(as_mode("RGB"), file_format, exif=exif)
    (tmp_path / "x").write_bytes(contents)
    np.testing.assert_array_equal(decode(contents), read_image(tmp_path / "x"))


def test_gif_is_rejected_whatever_its_frames_would_take():
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG, PNG or BMP"):
        decode(saved(as_mode("RGB"), "gif"))


@pytest.mark.parametrize("name", ["jpg", "png", "bmp"])
def test_broken_files_are_rejected(name):
    contents = saved(as_mode("RGB"), name)
    for cut in (1, 3, 12, 30, len(contents) // 2):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(contents[:cut])


@pytest.mark.parametrize("contents", [b"", b"hello", b"II*\0" + 99 * b"\0"])
def test_other_bytes_are_rejected_by_the_kinds_that_are_expected(contents):
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG, PNG or BMP"):
        decode(contents)


@pytest.mark.parametrize("name", ["jpg", "png", "bmp"])
def test_image_of_too_many_pixels_is_rejected_before_it_is_decoded(name):
    contents = saved(Image.new("1", (7100, 7100)).convert("L"), name)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{MAX_PIXELS:,} pixels"):
        decode(contents)
