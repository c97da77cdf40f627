"""MACs equal hand-counted values."""

import keras
from keras import layers

from train_tf.macs import macs
from unet_tf.layers import UpsampleConvolution


def test_every_kernel_is_counted_at_each_of_its_places():
    image = keras.Input((8, 6, 3))
    x = layers.Conv2D(5, 3, strides=2, padding="same")(image)  # 4 x 3 places
    x = layers.BatchNormalization()(x)
    x = layers.Conv2DTranspose(2, 3, strides=2, padding="same")(x)
    x = UpsampleConvolution(4)(x)  # 16 x 12 places, each with its 3x3 pixels
    x = layers.Dense(7)(layers.GlobalAveragePooling2D()(x))
    assert macs(keras.Model(image, x)) == (
        4 * 3 * 9 * 3 * 5 + 4 * 3 * 9 * 5 * 2 + 16 * 12 * 9 * 2 * 4 + 4 * 7
    )
