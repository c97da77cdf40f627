"""How much a network asks of a machine."""

import math

import keras


def macs(model):
    """Multiplications of one image through a network's convolutions and dense layers.

    Biases, norms and activations are not counted, nor are savings by a clever order.

    Args:
        model: a functional `keras.Model` of known image size.

    Returns:
        A whole number.
    """
    return sum(_of_layer(layer) for layer in model.layers)


def _of_layer(layer):
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    # A transposed convolution lays its kernel at each place of what comes in, all
    # others at each place of what comes out.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    shape = layer.input.shape if transposed else layer.output.shape
    return math.prod(kernel.shape) * math.prod(shape[1:-1])
