"""The UNet: encoder, decoder and skip connections (Ronneberger et al. 2015)."""

import keras
from keras import layers

from unet_tf.blocks import convolution_pair, max_pool_down, transpose_up
from unet_tf.layers import CropToImage, PadToMultiple


def build_unet(
    image_shape=(128, 128, 3),
    classes=3,
    filters=16,
    depth=4,
    down=max_pool_down,
    up=transpose_up,
    dropout=0.0,
):
    """Build a UNet.

    Args:
        image_shape: (height, width, channels); (None, None, 3) for images of any size.
            Sides need not be multiples of 2^depth.
        classes: number of classes, 2 or more.
        filters: channels of the first level; each deeper level has twice as many.
        depth: how many times the encoder halves height and width, 1 or more.
        down, up: values of `DOWN_BLOCKS` and `UP_BLOCKS`, or functions like them.
        dropout: dropout rate of the two deepest levels, [0, 1).

    Returns:
        A `keras.Model` from images, (batch, height, width, channels) in [0, 1], to
        logits, (batch, height, width, classes), float32.

    Raises:
        ValueError: if classes, filters or depth is too small.

    Example:
        >>> model = build_unet((101, 60, 3), 2, down=strided_down, up=upsample_up)
        >>> model.output_shape
        (None, 101, 60, 2)
    """
    for name, value, least in (
        ("classes", classes, 2),
        ("filters", filters, 1),
        ("depth", depth, 1),
    ):
        if value < least:
            raise ValueError(f"Expected {name} >= {least}. Received: {name}={value}")

    image = keras.Input(image_shape, name="image")
    x = PadToMultiple(2**depth, name="pad")(image)

    skips = []
    for level in range(depth):
        x = convolution_pair(x, filters * 2**level, f"encoder{level}")
        if dropout and level == depth - 1:
            x = layers.Dropout(dropout, name=f"encoder{level}_dropout")(x)
        skips.append(x)
        x = down(x, f"down{level}")

    x = convolution_pair(x, filters * 2**depth, "bottom")
    if dropout:
        x = layers.Dropout(dropout, name="bottom_dropout")(x)

    for level in reversed(range(depth)):
        x = up(x, filters * 2**level, f"up{level}")
        x = layers.Concatenate(name=f"skip{level}")([skips[level], x])
        x = convolution_pair(x, filters * 2**level, f"decoder{level}")

    logits = layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    logits = CropToImage(dtype="float32", name="crop")([logits, image])
    return keras.Model(image, logits, name="unet")
