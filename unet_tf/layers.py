"""The layers of a UNet that Keras does not have."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("unet_tf")
class UpsampleConvolution(layers.Layer):
    """Doubles height and width by repeating pixels, then convolves with a 3x3 kernel.

    Each of the four pixels that one becomes sees 2x2 different pixels, not 3x3; so the
    two are a transposed convolution with stride 2, whose 4x4 kernel is the sum of the
    3x3 one shifted by a pixel down, across, and both: 16 multiplications for 36. That
    is how it trains. Otherwise it does what its name says, because other runtimes want
    kernels that are constants, to quantize them.

    (batch, height, width, channels) to (batch, 2 height, 2 width, filters).

    Args:
        filters: channels of the result.
        kernel_initializer: of the 3x3 kernel, (3, 3, channels, filters).
    """

    def __init__(self, filters, kernel_initializer="he_normal", **settings):
        super().__init__(**settings)
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.enlarge = layers.UpSampling2D(2, interpolation="nearest")

    def build(self, shape):
        self.kernel = self.add_weight(
            (3, 3, shape[-1], self.filters), self.kernel_initializer, name="kernel"
        )

    def call(self, x, training=None):
        if not training:
            return ops.conv(self.enlarge(x), self.kernel, padding="same")
        # Mirrored, because a transposed convolution spreads what a convolution gathers.
        kernel = ops.flip(ops.transpose(self.kernel, (0, 1, 3, 2)), axis=(0, 1))
        nothing = ((0, 0), (0, 0), (0, 0))
        rows = ops.pad(kernel, ((0, 1), *nothing)) + ops.pad(kernel, ((1, 0), *nothing))
        summed = sum(
            ops.pad(rows, ((0, 0), shift, (0, 0), (0, 0))) for shift in ((0, 1), (1, 0))
        )
        return ops.conv_transpose(x, summed, strides=2, padding="same")

    def compute_output_shape(self, shape):
        batch, *sides, _ = shape
        return (batch, *(side and 2 * side for side in sides), self.filters)

    def get_config(self):
        own = {
            "filters": self.filters,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("unet_tf")
class PadToMultiple(layers.Layer):
    """Pad height and width with zeros, evenly on both sides, to whole multiples.

    (batch, height, width, channels) to (batch, padded height, padded width, channels).
    """

    def __init__(self, multiple, **settings):
        super().__init__(**settings)
        self.multiple = multiple

    def call(self, image):
        _, height, width, _ = ops.shape(image)
        rows, columns = -height % self.multiple, -width % self.multiple
        return ops.pad(
            image,
            (
                (0, 0),
                (rows // 2, rows - rows // 2),
                (columns // 2, columns - columns // 2),
                (0, 0),
            ),
        )

    def compute_output_shape(self, shape):
        batch, *sides, channels = shape
        padded = (side and side + -side % self.multiple for side in sides)
        return (batch, *padded, channels)

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable("unet_tf")
class CropToImage(layers.Layer):
    """Undo `PadToMultiple`: crop features, evenly on both sides, to an image's size.

    [(batch, padded height, padded width, channels), (batch, height, width, any)] to
    (batch, height, width, channels).
    """

    def call(self, features_and_image):
        features, image = features_and_image
        _, padded_height, padded_width, _ = ops.shape(features)
        _, height, width, _ = ops.shape(image)
        top, left = (padded_height - height) // 2, (padded_width - width) // 2
        return features[:, top : top + height, left : left + width]

    def compute_output_shape(self, shapes):
        features, image = shapes
        return (features[0], image[1], image[2], features[3])
