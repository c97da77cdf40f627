"""The parts a UNet is put together from: a convolution pair, two ways down, two up.

A way down is a function `(x, name)` that halves height and width and keeps the
channels; a way up is a function `(x, filters, name)` that doubles height and width and
gives `filters` channels. Write one of your own and hand it to `build_unet`.
"""

from keras import layers

from train_tf.layers import FusedBatchNormalization
from unet_tf.layers import UpsampleConvolution


def convolution_pair(x, filters, name):
    """Convolve twice with 3x3 kernels, each followed by batch norm and ReLU.

    Args:
        x: features, (batch, height, width, channels).
        filters: channels of the result.
        name: prefix of the names of the layers.

    Returns:
        Features, (batch, height, width, filters).
    """
    for part in ("a", "b"):
        x = _normalized_relu(
            _convolution(x, filters, f"{name}_{part}"), f"{name}_{part}"
        )
    return x


def max_pool_down(x, name):
    """Halve height and width by the largest of each 2x2 pixels; it has no weights."""
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def strided_down(x, name):
    """Halve height and width by a 3x3 convolution with stride 2, which learns how."""
    x = _convolution(x, x.shape[-1], f"{name}_strided", strides=2)
    return _normalized_relu(x, f"{name}_strided")


def transpose_up(x, filters, name):
    """Double height and width by a 3x3 transpose convolution with stride 2."""
    x = layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_transpose_conv",
    )(x)
    return _normalized_relu(x, f"{name}_transpose")


def upsample_up(x, filters, name):
    """Double height and width by repeating pixels, then convolve with a 3x3 kernel."""
    x = UpsampleConvolution(filters, name=f"{name}_upsample_conv")(x)
    return _normalized_relu(x, f"{name}_upsample")


def _convolution(x, filters, name, strides=1):
    return layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,  # the batch norm that follows has one
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)


def _normalized_relu(x, name):
    # Momentum 0.9: the averages must settle within a few hundred steps.
    x = FusedBatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


DOWN_BLOCKS = {"maxpool": max_pool_down, "strided": strided_down}
UP_BLOCKS = {"transpose": transpose_up, "upsample": upsample_up}
