"""Build a conditional VAE from the names of its network and its likelihood."""

import inspect

from cvae_tf.ladder.losses import LossWeights
from cvae_tf.ladder.model import LadderCVAE
from cvae_tf.ladder.networks import auxiliary_classifier, latent_discriminator
from cvae_tf.likelihoods import LIKELIHOODS
from cvae_tf.model import CVAE
from cvae_tf.networks import NETWORKS
from train_tf.config import choose
from train_tf.errors import InputError


def build_cvae(
    image_shape,
    classes,
    network="compact",
    likelihood="gaussian",
    decoder_label=True,
    latents=None,
    detail_latents=None,
    width=None,
    beta=1.0,
    loss_weights=None,
    loss_warm_up_steps=600,
    seed=0,
):
    """Build a conditional VAE, in Keras's global precision, not compiled.

    Initial weights follow from `keras.utils.set_random_seed`.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 4,
            except for "resnet18".
        classes: number of labels.
        network: a name in `NETWORKS`.
        likelihood: a name in `LIKELIHOODS`.
        decoder_label: whether the decoder receives the label.
        latents, detail_latents, width: sizes of the network; None for its defaults.
        beta: weight of the rate.
        loss_weights: a `LossWeights`, or a dict of its values by name ("compact" only).
        loss_warm_up_steps: number of training steps in which terms of the loss are
            phased in ("compact" only).
        seed: integer seed of the latents' noise.

    Returns:
        A `CVAE`; for "compact" a `LadderCVAE`.

    Raises:
        InputError: if there is no such network or likelihood, or the network
            does not take one of the sizes.
        ValueError: if height or width is not a multiple of 4 (not for "resnet18").

    Example:
        >>> model = build_cvae((28, 28, 1), classes=10)
        >>> model.compile("adam")
        >>> model.fit(images, labels)  # images in [0, 1], labels from 0 to 9
    """
    likelihood = choose(
        "likelihood", likelihood, LIKELIHOODS, "likelihood (--likelihood)"
    )()
    function = choose("network", network, NETWORKS, "network (--network)")
    sizes = {"latents": latents, "detail_latents": detail_latents, "width": width}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    for name in sizes.keys() - inspect.signature(function).parameters:
        raise InputError(
            f"Expected no {name} for network={network!r}. "
            f"Received: {name}={sizes[name]}"
        )
    encoder, decoder, details = function(
        image_shape, classes, likelihood.outputs_per_channel, decoder_label, **sizes
    )
    settings = {"classes": classes, "beta": beta, "seed": seed}
    if not details:
        return CVAE(encoder, decoder, likelihood, **settings)
    if loss_weights is None and not decoder_label:
        # The coarse image does not depend on the label.
        loss_weights = LossWeights(adversarial=0, label=0, cycle=0)
    return LadderCVAE(
        encoder,
        decoder,
        likelihood,
        details=details,
        latent_discriminator=latent_discriminator(
            encoder.outputs[0].shape[-1], classes
        ),
        auxiliary_classifier=auxiliary_classifier(image_shape, classes),
        loss_weights=loss_weights,
        loss_warm_up_steps=loss_warm_up_steps,
        **settings,
    )
