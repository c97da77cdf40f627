"""Decode image files inside SavedModels, by TensorFlow operations only.

The result is that of `train_tf.data.images.read_image` for the same file.
"""

import tensorflow as tf

from train_tf.assertions import only_if

MAX_PIXELS = 25_000_000

_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"


def decode_image(contents):
    """Decode a JPEG, PNG or BMP file.

    Converts grey and palette images to RGB, lays transparent PNGs on white, and applies
    the EXIF orientation. GIF is not supported: TensorFlow decodes all its frames,
    however many and large, before their size is known.

    Args:
        contents: the file's bytes, a scalar string tensor.

    Returns:
        (height, width, 3), uint8.

    Raises:
        tf.errors.InvalidArgumentError: if it is no such file, is damaged, or has
            more than `MAX_PIXELS` pixels, which is checked before it is decoded.
    """
    kinds = {
        _PNG: _decode_png,
        _JPEG: _decode_jpeg,
        _BMP: _decode_bmp,
    }
    starts = tf.stack([_starts_with(contents, kind) for kind in kinds])
    expected = "Expected the bytes of a JPEG, PNG or BMP file. Received bytes:"
    with only_if(tf.reduce_any(starts), expected, tf.strings.length(contents)):
        kind = tf.argmax(starts, output_type=tf.int32)
    branches = [lambda decode=decode: decode(contents) for decode in kinds.values()]
    image = tf.switch_case(kind, branches)
    return tf.ensure_shape(image, (None, None, 3))


def _decode_png(contents):
    width, height = (_number(contents, at, tf.int32, "big") for at in (16, 20))
    with _size_checked(height, width):
        # As 16 bits; 8-bit images repeat their byte.
        image = tf.image.decode_png(contents, 3, tf.uint16)
    colour = tf.cast(image, tf.float32) / 257

    def on_white():
        opacity = tf.image.decode_png(contents, 4, tf.uint16)[..., 3:]
        opacity = tf.cast(opacity, tf.float32) / 65535
        return opacity * colour + 255 * (1 - opacity)

    # TensorFlow gives opaque images of few bits a wrong alpha channel.
    start = _start(contents)
    marked = _end_of(b"tRNS", start) <= tf.size(start)
    has_opacity = marked | (_number(contents, 25, tf.uint8, "big") & 4 > 0)
    colour = tf.cond(has_opacity, on_white, lambda: colour)
    image = tf.cast(tf.round(colour), tf.uint8)
    return _upright(image, _orientation(contents, b"eXIf"))


def _decode_jpeg(contents):
    height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(contents), num=3)
    with _size_checked(height, width):
        # The method that Pillow uses.
        image = tf.io.decode_jpeg(contents, 3, dct_method="INTEGER_ACCURATE")
    return _upright(image, _orientation(contents, b"Exif\0\0"))


def _decode_bmp(contents):
    width, height = (_number(contents, at, tf.int32, "little") for at in (18, 22))
    with _size_checked(tf.abs(height), width):
        image = tf.image.decode_bmp(contents)

    def through_palette():
        start = 14 + _number(contents, 14, tf.int32, "little")
        colours = tf.strings.substr(contents, start, 256 * 4)  # blue, green, red, 0
        colours = tf.reshape(tf.io.decode_raw(colours, tf.uint8), (-1, 4))
        return tf.gather(colours[:, 2::-1], tf.cast(image[..., 0], tf.int32))

    bits = _number(contents, 28, tf.uint16, "little")
    return tf.cond(bits == 8, through_palette, lambda: image[..., :3])


def _starts_with(contents, start):
    return tf.strings.substr(contents, 0, len(start)) == start


def _number(contents, at, dtype, order):
    """An integer in the header of a file; 0 if the file ends before it."""
    header = tf.strings.join([tf.strings.substr(contents, 0, 64), b"\0" * 64])
    digits = tf.strings.substr(header, at, dtype.size)
    number = tf.io.decode_raw(digits, dtype, little_endian=order == "little")
    return tf.cast(number[0], tf.int32)


def _size_checked(height, width):
    """A context in which nothing is decoded unless the size is allowed."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    expected = f"Expected an image of 1 to {MAX_PIXELS:,} pixels. Received:"
    return only_if((pixels > 0) & (pixels <= MAX_PIXELS), expected, width, height)


def _orientation(contents, mark):
    """The EXIF orientation, 1 to 8; 1 if there is none.

    EXIF follows a marker in the first 64 KiB; its entry of tag, type and count is in
    either byte order.
    """
    start = _start(contents)
    exif = start[_end_of(mark, start) :]
    little = _end_of(b"\x12\x01\x03\0\x01\0\0\0", exif)
    big = _end_of(b"\x01\x12\0\x03\0\0\0\x01", exif) + 1
    found = [exif[little : little + 1], exif[big : big + 1], [tf.constant(1, tf.uint8)]]
    return tf.cast(tf.concat(found, 0)[0], tf.int32)


def _start(contents):
    return tf.io.decode_raw(tf.strings.substr(contents, 0, 2**16), tf.uint8)


def _end_of(pattern, data):
    """The end of the first match of a pattern in data; beyond the data without one."""
    size = tf.size(data)
    padded = tf.concat([data, tf.zeros(len(pattern), tf.uint8)], 0)
    parts = [padded[at : size + at] == byte for at, byte in enumerate(pattern)]
    found = tf.concat([tf.reduce_all(parts, axis=0), [True]], 0)
    return tf.argmax(found, output_type=tf.int32) + len(pattern)


def _upright(image, orientation):
    image = tf.cond(
        (orientation >= 5) & (orientation <= 8),
        lambda: tf.transpose(image, (1, 0, 2)),
        lambda: image,
    )
    for axis, turned in ((1, (2, 3, 6, 7)), (0, (3, 4, 7, 8))):
        step = tf.where(tf.reduce_any(orientation == tf.constant(turned)), -1, 1)
        image = image[:, ::step] if axis else image[::step]
    return image
