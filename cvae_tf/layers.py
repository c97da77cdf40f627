"""The parts the networks are put together from: labels, sampling, residual blocks."""

import itertools
import math

import keras
from keras import layers, ops

from cvae_tf.likelihoods import LOG_VAR_BOUND, Float32Layer, bound_log_var


@keras.saving.register_keras_serializable("cvae_tf")
class Sampling(Float32Layer):
    """Draws from diagonal normal distributions, such that gradients reach mean and log
    variance: mean + exp(log_var / 2) * noise, in float32.

    Args:
        seed: a whole number; the draws follow from it.
    """

    def __init__(self, seed=0, **settings):
        super().__init__(**settings)
        self.seed = seed
        self.draws = keras.random.SeedGenerator(seed)

    def call(self, mean, log_var):
        """A draw of the shape of `mean`."""
        noise = keras.random.normal(ops.shape(mean), seed=self.draws)
        return mean + ops.exp(0.5 * log_var) * noise

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("cvae_tf")
class FiLM(layers.Layer):
    """Lets a label act on every channel of features: features * (1 + scale) + shift.

    Scale and shift are linear in the label's embedding and start at zero (Perez et al.
    2018, "FiLM: Visual reasoning with a general conditioning layer").
    """

    def build(self, features_shape, embedding_shape):
        self.scale_and_shift = layers.Dense(
            2 * features_shape[-1], kernel_initializer="zeros", name="scale_and_shift"
        )
        self.scale_and_shift.build(embedding_shape)

    def call(self, features, embedding):
        """(batch, height, width, channels) and (batch, size) give the first shape."""
        both = self.scale_and_shift(embedding)[:, None, None, :]
        scale, shift = ops.split(both, 2, axis=-1)
        return features * (1 + scale) + shift


@keras.saving.register_keras_serializable("cvae_tf")
class GaussianParameters(Float32Layer):
    """Splits the last axis into means and log variances of posteriors, in float32.

    No variance is above 1. A posterior that is wider than its prior tells nothing of an
    image, but one odd image can be given one, and its draws would lie where no decoder
    has ever been: a few such images can cost more nats than all others together.
    """

    def call(self, parameters):
        """(..., 2 * size) gives two tensors of (..., size)."""
        mean, log_var = ops.split(ops.cast(parameters, "float32"), 2, axis=-1)
        return mean, bound_log_var(-ops.softplus(-log_var))


@keras.saving.register_keras_serializable("cvae_tf")
class BoundLogVar(Float32Layer):
    """Bounds log variances softly, in float32, to between -bound and bound."""

    def __init__(self, bound=LOG_VAR_BOUND, **settings):
        super().__init__(**settings)
        self.bound = bound

    def call(self, log_var):
        return bound_log_var(log_var, self.bound)

    def get_config(self):
        return {**super().get_config(), "bound": self.bound}


@keras.saving.register_keras_serializable("cvae_tf")
class CosineTransform(keras.initializers.Initializer):
    """Starts a convolution as a cosine transform of patches (Ahmed et al. 1974).

    Patches have height, width and channels; the latents are their lowest frequencies,
    each patch of length `gain`. A transposed convolution that starts so, with one over
    the gain, is the way back.
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        *sizes, latents = shape  # of a transposed convolution, too
        places = list(itertools.product(*map(range, sizes)))
        frequencies = sorted(places, key=lambda f: (f[0] + f[1], f))[:latents]
        kernel = [
            [self.gain * math.prod(map(_cosine, place, f, sizes)) for f in frequencies]
            for place in places
        ]
        kernel = ops.reshape(ops.convert_to_tensor(kernel, dtype), (*sizes, -1))
        return ops.pad(kernel, [(0, 0)] * 3 + [(0, latents - kernel.shape[-1])])

    def get_config(self):
        return {"gain": self.gain}


def _cosine(place, frequency, size):
    height = math.sqrt((2 if frequency else 1) / size)
    return height * math.cos(math.pi * (place + 0.5) * frequency / size)


def with_label_channel(image, label, classes, name="label"):
    """Lay a label beside an image as one more channel.

    One-hot times a matrix is a row of the matrix: the layer for it is an embedding with
    one row a class, here of height times width numbers.

    Args:
        image: (batch, height, width, channels).
        label: whole numbers from 0 to classes - 1, (batch,).
        classes: how many there are.
        name: prefix of the layers' names.

    Returns:
        (batch, height, width, channels + 1).
    """
    height, width = image.shape[1:3]
    row = layers.Embedding(classes, height * width, name=f"{name}_embedding")(label)
    channel = layers.Reshape((height, width, 1), name=f"{name}_channel")(row)
    return layers.Concatenate(name=f"{name}_beside_image")([image, channel])


def convolution(x, filters, name, kernel_size=3, **settings):
    """A convolution that keeps height and width, unless it has strides."""
    return layers.Conv2D(filters, kernel_size, padding="same", name=name, **settings)(x)


def silu(x):
    """x times its sigmoid."""
    return layers.Activation("silu")(x)


def residual(x, name, embedding=None, use_bias=True):
    """Add what two 3x3 convolutions make of features; a label's embedding may steer it.

    The second convolution starts small, so that the block starts as next to nothing.

    Args:
        x: features, (batch, height, width, channels).
        name: prefix of the layers' names.
        embedding: of the label, (batch, size), or None.
        use_bias: without, nothing comes of nothing.

    Returns:
        Features of the same shape.
    """
    filters = x.shape[-1]
    change = convolution(silu(x), filters, f"{name}_a", use_bias=use_bias)
    if embedding is not None:
        change = FiLM(name=f"{name}_label")(change, embedding)
    small = {"kernel_initializer": keras.initializers.VarianceScaling(0.1)}
    change = convolution(silu(change), filters, f"{name}_b", use_bias=use_bias, **small)
    return layers.Add(name=name)([x, change])
