"""Layers of the UNet that Keras lacks."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("unet_tf")
class UpsampleConvolution(layers.Layer):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution without bias.

    (batch, height, width, channels) to (batch, 2 height, 2 width, filters).

    The kernel is (3, 3, channels, filters).
    """

    def __init__(self, filters, kernel_initializer="he_normal", **settings):
        super().__init__(**settings)
        policy = self.dtype_policy  # not the global one, which may have changed
        self.upsampling = layers.UpSampling2D(2, interpolation="nearest", dtype=policy)
        self.convolution = layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=kernel_initializer,
            dtype=policy,
            name="convolution",
        )

    def build(self, shape):
        self.convolution.build(self.upsampling.compute_output_shape(shape))

    def call(self, x, training=None):
        if training:
            return self._as_transposed_convolution(x)
        return self.convolution(self.upsampling(x))

    def _as_transposed_convolution(self, x):
        """Compute the same with fewer operations.

        16 instead of 36 multiply-accumulates per input pixel and pair of channels.

        Nearest-neighbour upsampling followed by a 3x3 convolution equals a transposed
        convolution with stride 2 and a 4x4 kernel: the sum of four shifted copies of
        the 3x3 one.
        """
        kernel = ops.transpose(self.convolution.kernel, (0, 1, 3, 2))
        # Flipped: a transposed convolution scatters what a convolution gathers.
        kernel = ops.flip(kernel, axis=(0, 1))
        no_padding = ((0, 0), (0, 0), (0, 0))
        rows = ops.pad(kernel, ((0, 1), *no_padding)) + ops.pad(
            kernel, ((1, 0), *no_padding)
        )
        summed = sum(
            ops.pad(rows, ((0, 0), shift, (0, 0), (0, 0))) for shift in ((0, 1), (1, 0))
        )
        return ops.conv_transpose(x, summed, strides=2, padding="same")

    def compute_output_shape(self, shape):
        upsampled = self.upsampling.compute_output_shape(shape)
        return self.convolution.compute_output_shape(upsampled)

    def get_config(self):
        initializer = self.convolution.kernel_initializer
        return {
            **super().get_config(),
            "filters": self.convolution.filters,
            "kernel_initializer": keras.initializers.serialize(initializer),
        }


@keras.saving.register_keras_serializable("unet_tf")
class PadToMultiple(layers.Layer):
    """Pad height and width with zeros, evenly on both sides, to multiples of a number.

    (batch, height, width, channels) to (batch, padded height, padded width, channels).
    """

    def __init__(self, multiple, **settings):
        super().__init__(**settings)
        self.multiple = multiple

    def call(self, image):
        _, height, width, _ = ops.shape(image)
        rows, columns = -height % self.multiple, -width % self.multiple
        top, left = rows // 2, columns // 2
        padding = ((0, 0), (top, rows - top), (left, columns - left), (0, 0))
        return ops.pad(image, padding)

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
