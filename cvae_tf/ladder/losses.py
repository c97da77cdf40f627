"""The loss of `LadderCVAE`.

Symbols, for an image x with label y, of C classes:

    z0, m(x)  a sample and the mean of its style
    z1, z2    samples of its detail latents
    c(z, y)   coarse image of style z under label y
    y'        a wrong label, drawn uniformly
    s         the style to relabel: z0 for even rows of the batch, a sample of N(0, 1)
              for odd rows, so that the decoder sees the whole prior
    D, A      latent discriminator, auxiliary classifier (class C: not a real image)
    w         warm-up: rises from 0 to 1 over the first `loss_warm_up_steps` steps

Encoder, coarse decoder and detail levels minimise, with the weights of `LossWeights`,

    - log p(x | z0, z1, z2, y) + beta * (KL_style + w * KL_details)              (1)
    + coarse * BCE(x, c(z0, y))                                                  (2)
    + adversarial * w * KL(uniform || softmax(D(m(x))))                          (3)
    + label * w * CE(y', A(c(s, y')))                                            (4)
    + cycle * ||m(c(s, y')) - stop_gradient(s)||^2                               (5)

while the latent discriminator and the auxiliary classifier minimise

    CE(y, D(m(x))) + CE(y, A(x)) + FAKE_WEIGHT * w * CE(C, A(c(s, y')))          (6)

BCE is summed over pixels and channels. All terms are in nats per image and averaged
over the batch, except (5), which is a squared distance.

(1) Distortion + beta * rate. Kingma and Welling 2014; beta: Higgins et al. 2017; levels
    of latents: Sonderby et al. 2016, "Ladder variational autoencoders". The gradient
    stops at the coarse image: the likelihood, with its small scale, would outweigh the
    coarse decoder's other terms. The details' rate warms up: at the full rate from the
    first step they would never be used.
(2) The Bernoulli likelihood of the coarse image.
(3) The style must not contain the label: Lample et al. 2017, "Fader networks".
(4) The coarse image must show the requested label: Odena et al. 2017, "Conditional
    image synthesis with auxiliary classifier GANs".
(5) Relabelling must keep the style: Mathieu et al. 2016, "Disentangling factors of
    variation in deep representations using adversarial training".
(6) See the sources of (3) and (4).
"""

import dataclasses
import math

import keras
from keras import ops

FAKE_WEIGHT = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the terms (2) to (5) of the module's formula."""

    coarse: float = 1.0  # (2), cross-entropy of the coarse image
    adversarial: float = 20.0  # (3), latent discriminator
    label: float = 5.0  # (4), auxiliary classifier
    cycle: float = 5.0  # (5), squared distance of styles


def kl_from_uniform(logits):
    """KL(uniform || softmax(logits)) of each row, nats, (batch,)."""
    classes = logits.shape[-1]
    return -ops.mean(ops.log_softmax(logits), axis=-1) - math.log(classes)


def cross_entropy(labels, logits):
    """CE: -log softmax(logits)[label] of each row, nats, (batch,)."""
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
