"""How far a picture is from what the decoder says: nats per image, and how rates count.

A likelihood turns the decoder's outputs, real numbers, into a density or a probability
of the image. Called with images and outputs it gives the distortion, -log p(x | z), of
each image: summed over pixels and channels, in nats.
"""

import math

import keras
from keras import layers, ops

LOG_VAR_BOUND = 12.0  # e^12: far beyond use, far within float32
SMALLEST_SCALE = 1 / 512  # half a step of 8-bit pixels on [0, 1]
MEMORY = 0.95  # share of the running variance that a training step leaves


class Float32Layer(layers.Layer):
    """A layer that computes in float32, whatever the networks compute in."""

    def __init__(self, **settings):
        super().__init__(**{**settings, "dtype": "float32"})

    def get_config(self):
        # Keras leaves the name out for a layer that has an __init__ and no get_config.
        return {**super().get_config(), "name": self.name}


class Likelihood(Float32Layer):
    """What all have in common; the outputs begin with the location of each pixel.

    Attributes:
        mean_over_batch: how a mean is taken over a batch, of which the images at hand
            may be a share.
    """

    mean_over_batch = staticmethod(ops.mean)

    outputs_per_channel = 1

    def mean(self, outputs):
        """The picture that the outputs stand for, in [0, 1]."""
        location = ops.split(outputs, self.outputs_per_channel, axis=-1)[0]
        return self.picture(location)

    def picture(self, location):
        """The picture that is at a location, in [0, 1]."""
        return ops.clip(location, 0, 1)

    def locate(self, picture):
        """The location of a picture; the inverse of `picture`."""
        return picture


@keras.saving.register_keras_serializable("cvae_tf")
class Gaussian(Likelihood):
    """A normal density around the outputs, with one scale for all pixels.

    The scale is not learnt by gradient: its optimum has a closed form, the root mean
    squared error (Rybkin, Daniilidis, Levine 2021, "Simple and effective VAE training
    with calibrated decoders"). In training it is that of the batch; otherwise a running
    mean of it.

    -log p = D/2 log(2 pi v) + sum (x - output)^2 / (2 v), D pixels times channels.
    """

    is_density = True

    def build(self, *_):
        self.variance = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="variance"
        )

    def call(self, images, outputs, training=False):
        """The distortion of each image, (batch,), nats."""
        squares = ops.square(images - outputs)
        variance = self.variance
        if training:
            # The gradient through the optimal variance is the one without it.
            variance = ops.maximum(
                self.mean_over_batch(ops.stop_gradient(squares)), SMALLEST_SCALE**2
            )
            kept = ops.where(self.variance == 1, 0.0, MEMORY)  # the first step sets it
            self.variance.assign(kept * self.variance + (1 - kept) * variance)
        size = math.prod(images.shape[1:])
        return 0.5 * (
            size * ops.log(2 * math.pi * variance)
            + ops.sum(squares, axis=(1, 2, 3)) / variance
        )


@keras.saving.register_keras_serializable("cvae_tf")
class Bernoulli(Likelihood):
    """A coin for each pixel, whose share of heads is the sigmoid of the output.

    Pixels in [0, 1] are taken as shares too: -log p is the cross-entropy.
    """

    is_density = False

    def call(self, images, outputs, training=False):
        """The distortion of each image, (batch,), nats."""
        entropy = ops.softplus(outputs) - images * outputs
        return ops.sum(entropy, axis=(1, 2, 3))

    def picture(self, location):
        return ops.sigmoid(location)

    def locate(self, picture):
        picture = ops.clip(picture, 1e-6, 1 - 1e-6)
        return ops.log(picture) - ops.log1p(-picture)


@keras.saving.register_keras_serializable("cvae_tf")
class DiscretizedLogistic(Likelihood):
    """A probability of each of the 256 values of an 8-bit pixel.

    The mass that a logistic density leaves within half a step of the pixel's value; the
    lowest and the highest value take the tails (Salimans et al. 2017, "PixelCNN++").
    The outputs are the means, on [0, 1], then the logarithms of the scales.
    """

    outputs_per_channel = 2
    is_density = False

    def call(self, images, outputs, training=False):
        """The distortion of each image, (batch,), nats; at least 0."""
        means, log_scales = ops.split(outputs, 2, axis=-1)
        steepness = ops.exp(-ops.clip(log_scales, -LOG_VAR_BOUND, LOG_VAR_BOUND))
        centred = images - means
        upper = steepness * (centred + 1 / 510)
        lower = steepness * (centred - 1 / 510)
        # log(sigmoid(upper) - sigmoid(lower)), without a difference of near equals.
        between = (
            ops.log1p(-ops.exp(ops.minimum(lower - upper, -1e-7)))
            - ops.softplus(-upper)
            - ops.softplus(lower)
        )
        log_mass = ops.where(
            images < 1 / 510,
            -ops.softplus(-upper),
            ops.where(images > 1 - 1 / 510, -ops.softplus(lower), between),
        )
        return -ops.sum(log_mass, axis=(1, 2, 3))


def bound_log_var(log_var, bound=LOG_VAR_BOUND):
    """Keep a log variance within bounds, softly; its gradient stays finite, too."""
    return bound * ops.tanh(ops.cast(log_var, "float32") / bound)


def normal_kl(mean, log_var, prior_mean=0.0, prior_log_var=0.0):
    """KL divergence of diagonal normal distributions, summed over all but the batch.

    KL(q || p) = 1/2 sum [ (v_q + (m_q - m_p)^2) / v_p - 1 + log v_p - log v_q ]

    Args:
        mean, log_var: of q, (batch, ...).
        prior_mean, prior_log_var: of p, the same shape or broadcast to it.

    Returns:
        (batch,), nats.
    """
    terms = normal_kl_terms(mean, log_var, prior_mean, prior_log_var)
    return ops.sum(ops.reshape(terms, (ops.shape(terms)[0], -1)), axis=-1)


def normal_kl_terms(mean, log_var, prior_mean=0.0, prior_log_var=0.0):
    """The same of each latent by itself: nats, in the shape of `mean`."""
    mean, log_var, prior_mean, prior_log_var = (
        ops.cast(x, "float32") for x in (mean, log_var, prior_mean, prior_log_var)
    )
    distance = ops.square(mean - prior_mean) + ops.exp(log_var)
    return 0.5 * (distance * ops.exp(-prior_log_var) - 1 + prior_log_var - log_var)


def bits_per_dimension(negative_elbo, image_shape, is_density):
    """Bits a pixel and channel, of nats an image.

    Args:
        negative_elbo: nats per image.
        image_shape: (height, width, channels).
        is_density: whether the nats come from a density on [0, 1], which is then
            compared at steps of 1/256: 8 bits are added.
    """
    return negative_elbo / (math.prod(image_shape) * math.log(2)) + 8 * is_density


LIKELIHOODS = {
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "discretized_logistic": DiscretizedLogistic,
}
