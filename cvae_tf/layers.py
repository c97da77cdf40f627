"""Layers and blocks of the networks: label embedding, FiLM, sampling, residuals."""

import itertools
import math

import keras
from keras import layers, ops

# Larger than the absolute log of any variance that occurs; exp(12) does not overflow
# float32.
LOG_VAR_BOUND = 12.0


class Float32Layer(layers.Layer):
    """A layer that computes in float32, whatever the networks compute in."""

    def __init__(self, **settings):
        super().__init__(**{**settings, "dtype": "float32"})

    def get_config(self):
        # Keras leaves the name out for a layer that has an __init__ and no get_config.
        return {**super().get_config(), "name": self.name}


def bound_log_var(log_var, bound=LOG_VAR_BOUND):
    """Bound a log variance smoothly to (-bound, bound); gradients stay finite."""
    return bound * ops.tanh(ops.cast(log_var, "float32") / bound)


@keras.saving.register_keras_serializable("cvae_tf")
class Sampling(Float32Layer):
    """Samples diagonal Gaussians: mean + exp(log_var / 2) * noise, in float32.

    Gradients reach mean and log variance (the reparameterisation trick, Kingma and
    Welling 2014).

    Args:
        seed: integer seed of the noise.
    """

    def __init__(self, seed=0, **settings):
        super().__init__(**settings)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, mean, log_var):
        noise = keras.random.normal(ops.shape(mean), seed=self.generator)
        return mean + ops.exp(0.5 * log_var) * noise

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("cvae_tf")
class FiLM(layers.Layer):
    """Conditions features on a label: features * (1 + scale) + shift, per channel.

    Scale and shift are linear in the label's embedding and start at zero (Perez et al.
    2018, "FiLM: Visual reasoning with a general conditioning layer").
    """

    def build(self, features_shape, embedding_shape):
        self.scale_and_shift = layers.Dense(
            2 * features_shape[-1],
            kernel_initializer="zeros",
            dtype=self.dtype_policy,  # or a loaded layer would take the global one
            name="scale_and_shift",
        )
        self.scale_and_shift.build(embedding_shape)

    def call(self, features, embedding):
        """Features (batch, height, width, channels), embedding (batch, size)."""
        scale_and_shift = self.scale_and_shift(embedding)[:, None, None, :]
        scale, shift = ops.split(scale_and_shift, 2, axis=-1)
        return features * (1 + scale) + shift


@keras.saving.register_keras_serializable("cvae_tf")
class GaussianParameters(Float32Layer):
    """Splits the last axis into means and log variances of posteriors, in float32.

    Variances are bounded by 1. Otherwise outlier images can get a very wide posterior,
    whose samples lie far outside of what the decoder was trained on.
    """

    def call(self, parameters):
        """(..., 2 * size) -> two tensors of (..., size)."""
        mean, log_var = ops.split(ops.cast(parameters, "float32"), 2, axis=-1)
        return mean, bound_log_var(-ops.softplus(-log_var))


@keras.saving.register_keras_serializable("cvae_tf")
class BoundLogVar(Float32Layer):
    """Bounds log variances smoothly to (-bound, bound), in float32."""

    def __init__(self, bound=LOG_VAR_BOUND, **settings):
        super().__init__(**settings)
        self.bound = bound

    def call(self, log_var):
        return bound_log_var(log_var, self.bound)

    def get_config(self):
        return {**super().get_config(), "bound": self.bound}


@keras.saving.register_keras_serializable("cvae_tf")
class CosineTransform(keras.initializers.Initializer):
    """Initialises a convolution as a cosine transform of patches (Ahmed et al. 1974).

    Its filters are the lowest frequencies of a patch of (height, width, channels), each
    of norm `gain`. A transposed convolution with gain 1 / `gain` is the inverse.
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        *sizes, latents = shape  # of the kernel, transposed or not
        positions = list(itertools.product(*map(range, sizes)))
        frequencies = sorted(positions, key=lambda f: (f[0] + f[1], f))[:latents]
        kernel = [
            [self.gain * math.prod(map(_cosine, x, f, sizes)) for f in frequencies]
            for x in positions
        ]
        kernel = ops.reshape(ops.convert_to_tensor(kernel, dtype), (*sizes, -1))
        return ops.pad(kernel, [(0, 0)] * 3 + [(0, latents - kernel.shape[-1])])

    def get_config(self):
        return {"gain": self.gain}


def _cosine(position, frequency, size):
    amplitude = math.sqrt((2 if frequency else 1) / size)
    return amplitude * math.cos(math.pi * (position + 0.5) * frequency / size)


def with_label_channel(image, label, classes):
    """Concatenate a label's embedding, height * width numbers, as one more channel.

    (batch, height, width, channels) and class ids from 0 to classes - 1, (batch,), to
    (batch, height, width, channels + 1).
    """
    height, width = image.shape[1:3]
    row = layers.Embedding(classes, height * width, name="label_embedding")(label)
    channel = layers.Reshape((height, width, 1), name="label_channel")(row)
    return layers.Concatenate(name="label_and_image")([image, channel])


def decoder_inputs(latent, classes, decoder_label):
    """Add a label to a decoder's latents, if it receives one.

    Returns:
        The inputs of the decoder's `keras.Model`; and the label's embedding, (batch,
        32), or None.
    """
    if not decoder_label:
        return latent, None
    label = keras.Input((), dtype="int32", name="label")
    return [latent, label], layers.Embedding(classes, 32, name="label_embedding")(label)


def check_multiple_of_4(image_shape):
    """Raise `ValueError` if height or width is not a multiple of 4."""
    if any(not size or size % 4 for size in image_shape[:2]):
        raise ValueError(
            "Expected an image shape whose height and width are multiples of 4. "
            f"Received: {tuple(image_shape)}"
        )


def convolution(x, filters, name, kernel_size=3, **settings):
    return layers.Conv2D(filters, kernel_size, padding="same", name=name, **settings)(x)


def silu(x):
    return layers.Activation("silu")(x)


def residual_block(x, name, embedding=None, use_bias=True):
    """Add the output of two 3x3 convolutions to features, conditioned by FiLM.

    The second convolution has small initial weights, so that the block starts close to
    the identity.

    Args:
        x: features, (batch, height, width, channels).
        embedding: label embedding, (batch, size); None for no conditioning.
        use_bias: if False, features of zero give zero.
    """
    filters = x.shape[-1]
    residual = convolution(silu(x), filters, f"{name}_a", use_bias=use_bias)
    if embedding is not None:
        residual = FiLM(name=f"{name}_label")(residual, embedding)
    small = keras.initializers.VarianceScaling(0.1)
    residual = convolution(
        silu(residual),
        filters,
        f"{name}_b",
        use_bias=use_bias,
        kernel_initializer=small,
    )
    return layers.Add(name=name)([x, residual])
