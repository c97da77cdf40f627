"""Each block changes height and width as its name says."""

import keras
import numpy as np
import pytest

from train_tf.layers import FusedBatchNormalization
from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS, convolution_pair, max_pool_down
from unet_tf.layers import UpsampleConvolution


def layers_of(block, *arguments, shape=(8, 12, 4)):
    image = keras.Input(shape)
    return keras.Model(image, block(image, *arguments, "block"))


@pytest.mark.parametrize("name", DOWN_BLOCKS)
def test_downsampling_halves_and_keeps_the_channels(name):
    assert layers_of(DOWN_BLOCKS[name]).output_shape == (None, 4, 6, 4)


@pytest.mark.parametrize("name", UP_BLOCKS)
def test_upsampling_doubles_and_returns_the_requested_channels(name):
    assert layers_of(UP_BLOCKS[name], 3).output_shape == (None, 16, 24, 3)


@pytest.mark.parametrize(
    ("block", "arguments", "kinds"),
    [
        (DOWN_BLOCKS["maxpool"], (), {keras.layers.MaxPooling2D}),
        (DOWN_BLOCKS["strided"], (), {keras.layers.Conv2D}),
        (UP_BLOCKS["transpose"], (3,), {keras.layers.Conv2DTranspose}),
        (UP_BLOCKS["upsample"], (3,), {UpsampleConvolution}),
    ],
)
def test_block_is_what_its_name_says(block, arguments, kinds):
    resizing = {type(layer) for layer in layers_of(block, *arguments).layers} - {
        keras.layers.InputLayer,
        FusedBatchNormalization,
        keras.layers.ReLU,
    }
    assert resizing == kinds


def test_max_pool_takes_the_largest_and_has_no_weights():
    pooled = max_pool_down(np.arange(16.0).reshape(1, 4, 4, 1), "block")
    np.testing.assert_array_equal(pooled[0, ..., 0], [[5, 7], [13, 15]])
    assert not layers_of(max_pool_down).weights


def test_convolution_pair_is_two_3x3_convolutions_each_with_its_norm():
    model = layers_of(convolution_pair, 5)
    kernels = [w.shape for w in model.weights if w.name == "kernel"]
    assert kernels == [(3, 3, 4, 5), (3, 3, 5, 5)]
    norms = [x for x in model.layers if isinstance(x, FusedBatchNormalization)]
    assert len(norms) == 2
