"""Likelihoods p(x | z, y): the distortion of images.

A likelihood turns the decoder's outputs, real numbers, into a density or a probability
of the image x, given its latents z and its label y.
"""

import math

import keras
from keras import ops

from cvae_tf.layers import LOG_VAR_BOUND, Float32Layer

# The 256 grey levels of 8-bit pixels on [0, 1] are 1/255 apart: half a level is 1/510.
HALF_LEVEL = 1 / 510
# The lower bound of the scale is half of the 1/256 bin that bits/dim uses.
MIN_SCALE = 1 / 512
MOMENTUM = 0.95  # momentum of the running variance


class Likelihood(Float32Layer):
    """Base class. The outputs' channels are [location, further parameters].

    The location is what the image is read from: pixel values for Gaussian and logistic,
    logits for Bernoulli.

    Called with images and outputs, it gives the distortion of each image,
    -log p(x | z, y) summed over pixels and channels, (batch,), nats.

    Attributes:
        outputs_per_channel: number of outputs per pixel and channel.
        is_density: whether p(x | z, y) is a density over pixel values scaled to
            [0, 1].
        mean_over_batch: function that averages over a whole batch, of which a replica
            may hold only a share.
    """

    outputs_per_channel = 1
    mean_over_batch = staticmethod(ops.mean)

    def mean(self, outputs):
        """The image, in [0, 1], that the location of the outputs describes."""
        location = ops.split(outputs, self.outputs_per_channel, axis=-1)[0]
        return self.to_image(location)

    def to_image(self, location):
        return ops.clip(location, 0, 1)

    def to_location(self, image):
        return image


@keras.saving.register_keras_serializable("cvae_tf")
class Gaussian(Likelihood):
    """Gaussian around the outputs, with one scale shared by all pixels.

    The scale is not learned by gradient: its optimum has a closed form, the root mean
    squared error (Rybkin, Daniilidis, Levine 2021, "Simple and effective VAE training
    with calibrated decoders"). In training it is computed from the batch, otherwise
    from the running mean of the variance.

    -log p = D/2 log(2 pi v) + sum (x - output)^2 / (2 v)

    with D pixels times channels and the variance v = scale^2.
    """

    is_density = True

    def build(self, *_):
        self.variance = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="variance"
        )

    def call(self, images, outputs, training=False):
        squares = ops.square(images - outputs)
        variance = self.variance
        if training:
            # Through the optimal variance, the gradient of the loss is zero.
            variance = ops.maximum(
                self.mean_over_batch(ops.stop_gradient(squares)), MIN_SCALE**2
            )
            # The first step sets the running variance.
            momentum = ops.where(self.variance == 1, 0.0, MOMENTUM)
            self.variance.assign(momentum * self.variance + (1 - momentum) * variance)
        size = math.prod(images.shape[1:])
        return 0.5 * (
            size * ops.log(2 * math.pi * variance)
            + ops.sum(squares, axis=(1, 2, 3)) / variance
        )


@keras.saving.register_keras_serializable("cvae_tf")
class Bernoulli(Likelihood):
    """Bernoulli for each pixel, with the sigmoid of the output as its probability.

    Grey values in [0, 1] are used as soft targets: -log p is the binary cross-entropy.
    """

    is_density = False

    def call(self, images, outputs, training=False):
        entropy = ops.softplus(outputs) - images * outputs
        return ops.sum(entropy, axis=(1, 2, 3))

    def to_image(self, location):
        return ops.sigmoid(location)

    def to_location(self, image):
        image = ops.clip(image, 1e-6, 1 - 1e-6)
        return ops.log(image) - ops.log1p(-image)


@keras.saving.register_keras_serializable("cvae_tf")
class DiscretizedLogistic(Likelihood):
    """Probability of each of the 256 values of an 8-bit pixel.

    It is the mass of a logistic density within half a grey level of the pixel's value;
    the lowest and the highest value take the tails (Salimans et al. 2017,
    "PixelCNN++"). The outputs are the means on [0, 1], then the log scales.
    """

    outputs_per_channel = 2
    is_density = False

    def call(self, images, outputs, training=False):
        means, log_scales = ops.split(outputs, 2, axis=-1)
        steepness = ops.exp(-ops.clip(log_scales, -LOG_VAR_BOUND, LOG_VAR_BOUND))
        centred = images - means
        upper = steepness * (centred + HALF_LEVEL)
        lower = steepness * (centred - HALF_LEVEL)
        # log(sigmoid(upper) - sigmoid(lower)), without a difference of near equals.
        between = (
            ops.log1p(-ops.exp(ops.minimum(lower - upper, -1e-7)))
            - ops.softplus(-upper)
            - ops.softplus(lower)
        )
        log_mass = ops.where(
            images < HALF_LEVEL,
            -ops.softplus(-upper),
            ops.where(images > 1 - HALF_LEVEL, -ops.softplus(lower), between),
        )
        return -ops.sum(log_mass, axis=(1, 2, 3))


def bits_per_dimension(negative_elbo, image_shape, is_density):
    """Convert nats per image to bits per pixel and channel.

    Args:
        negative_elbo: nats per image.
        image_shape: (height, width, channels).
        is_density: whether p(x | z, y) is a density over pixel values scaled to [0, 1].
            If so, log2 256 = 8 bits are added: density times a bin of width 1/256
            approximates a probability. No dequantisation noise is added, so the value
            is not an exact code length.
    """
    return negative_elbo / (math.prod(image_shape) * math.log(2)) + 8 * is_density


LIKELIHOODS = {
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "discretized_logistic": DiscretizedLogistic,
}
