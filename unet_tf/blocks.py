"""The blocks of a UNet: a pair of convolutions, and two ways each to go down and up.

A downsampling block is a function `(x, name)` that halves height and width and keeps
the channels. An upsampling block is a function `(x, filters, name)` that doubles height
and width and returns `filters` channels. Pass your own to `build_unet`, or add it to
`DOWN_BLOCKS` or `UP_BLOCKS`, from which the command line takes its choices.
"""

from keras import layers

from train_tf.layers import FusedBatchNormalization
from unet_tf.layers import UpsampleConvolution


def convolution_pair(x, filters, name):
    """Two 3x3 convolutions, each with batch normalization and ReLU.

    (batch, height, width, channels) to (batch, height, width, filters).
    """
    for letter in ("a", "b"):
        x = _convolution(x, filters, f"{name}_{letter}")
        x = _normalized_relu(x, f"{name}_{letter}")
    return x


def max_pool_down(x, name):
    """2x2 max pooling."""
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def strided_down(x, name):
    """3x3 convolution with stride 2, batch normalization, ReLU."""
    x = _convolution(x, x.shape[-1], f"{name}_strided", strides=2)
    return _normalized_relu(x, f"{name}_strided")


def transpose_up(x, filters, name):
    """3x3 transposed convolution with stride 2, batch normalization, ReLU."""
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
    """Nearest-neighbour upsampling, 3x3 convolution, batch normalization, ReLU."""
    x = UpsampleConvolution(filters, name=f"{name}_upsample_conv")(x)
    return _normalized_relu(x, f"{name}_upsample")


def _convolution(x, filters, name, strides=1):
    return layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,  # the batch normalization has one
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)


def _normalized_relu(x, name):
    # Momentum 0.9: the moving averages must settle within a few hundred steps.
    x = FusedBatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


DOWN_BLOCKS = {"maxpool": max_pool_down, "strided": strided_down}
UP_BLOCKS = {"transpose": transpose_up, "upsample": upsample_up}
