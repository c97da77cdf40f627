"""The cost of a network: multiply-accumulate operations (MACs)."""

import math

import keras


def macs(model):
    """MACs of one image through a network's convolutions and dense layers, an integer.

    Biases, norms and activations are not counted. `model` is a functional
    `keras.Model` of known image size.
    """
    return sum(_of_layer(layer) for layer in model.layers)


def _of_layer(layer):
    # A layer may wrap a convolution, as UpsampleConvolution does.
    kernel = getattr(getattr(layer, "convolution", layer), "kernel", None)
    if kernel is None:
        return 0
    # A transposed convolution applies its kernel at each position of its input, all
    # others at each position of their output.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    shape = layer.input.shape if transposed else layer.output.shape
    return math.prod(kernel.shape) * math.prod(shape[1:-1])
