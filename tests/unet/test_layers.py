"""The layers of a UNet compute what plain Keras layers would."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unet_tf.layers import UpsampleConvolution

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")


def plain(filters):
    """What the name of `UpsampleConvolution` says."""
    return keras.Sequential(
        [
            keras.Input((None, None, 4)),
            keras.layers.UpSampling2D(2, interpolation="nearest"),
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
        ]
    )


def outputs_and_gradients(layer, training):
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
        loss = tf.reduce_sum(tf.sin(outputs))
    return [outputs, *tape.gradient(loss, [images, *layer.trainable_variables])]


@pytest.mark.parametrize("training", [True, False])
def test_upsample_convolution_is_upsampling_and_convolution(training):
    layer, expected = UpsampleConvolution(6), plain(6)
    layer.build(IMAGES.shape)
    layer.set_weights(expected.get_weights())
    for actual, wanted in zip(
        *(outputs_and_gradients(x, training) for x in (layer, expected)), strict=True
    ):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


def test_outside_training_upsample_convolution_calls_keras_layers(monkeypatch):
    layer = UpsampleConvolution(6)
    layer.build(IMAGES.shape)
    assert type(layer.upsampling) is keras.layers.UpSampling2D
    assert type(layer.convolution) is keras.layers.Conv2D
    monkeypatch.setattr(layer, "_as_transposed_convolution", None)
    expected = layer.convolution(layer.upsampling(IMAGES))
    np.testing.assert_array_equal(layer(IMAGES), expected)


def test_upsampled_size_is_known_where_the_image_s_is():
    layer = UpsampleConvolution(6)
    assert layer(keras.Input((3, 5, 4))).shape == (None, 6, 10, 6)
    assert layer(keras.Input((None, 5, 4))).shape == (None, None, 10, 6)


def test_upsample_convolution_survives_its_config():
    layer = UpsampleConvolution(6, kernel_initializer="ones", name="up")
    layer = UpsampleConvolution.from_config(layer.get_config())
    (pixel,) = layer(tf.ones((1, 1, 1, 2)), training=True).numpy()
    # Each of the four pixels sees itself and its three neighbours, and 0 beyond them.
    np.testing.assert_allclose(pixel, np.full((2, 2, 6), 8.0))
