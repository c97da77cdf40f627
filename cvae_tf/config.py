"""Every option of a VAE training, once: default, meaning and allowed values."""

import dataclasses
from typing import Literal

from train_tf.config import Between, RunConfig, SearchOptions
from train_tf.errors import InputError

SUITED = {
    "mnist": {"latents": 12, "detail_latents": 4, "width": 32},
    "cifar10": {"latents": 24, "detail_latents": 12, "width": 32},
}
OF_COMPACT = ("detail_latents", "width", "label_accuracy")
EPOCHS = {"mnist": 8, "cifar10": 10}
STEPS = {"compact": (100, 2e-3), "resnet18": (32, 1e-4)}  # batch, learning rate
# What the seed's notebook shows at its end: nats of training batches, and epochs.
SEED = {"mnist": (-961.7, 30), "cifar10": (-2668.7, 20)}
LOSS_WEIGHTS = {"mnist": (1.0, 5.0, 5.0, 5.0), "cifar10": (1.0, 20.0, 100.0, 5.0)}
# What a search may choose from.
SPACE = {
    "latents": (6, 8, 12, 16, 24),
    "detail_latents": (2, 4, 8, 12),
    "width": (24, 32, 48),
    "beta": Between(0.3, 3.0),
    "label_accuracy": Between(1.0, 300.0),
    "learning_rate": Between(5e-4, 5e-3),
}
Tuned = Literal[*SPACE]


@dataclasses.dataclass(frozen=True)
class CVAEOptions:
    """What is a conditional VAE's own: its images, its networks, its likelihood."""

    dataset: Literal["mnist", "cifar10"] = "mnist"
    """Which images."""

    network: Literal["compact", "resnet18"] = "compact"
    """A ladder of latents in under two million weights, or one level in 20 million."""

    likelihood: Literal["gaussian", "bernoulli", "discretized_logistic"] = "gaussian"
    """How far an image is from what the decoder says: one scale for all pixels, a coin
    for each pixel (of which bits/dim are no code length of 8-bit pixels), or a
    probability of each of its 256 values."""

    decoder_label: bool = True
    """Whether the decoder sees the label; without it, a wrong label cannot show."""

    latents: int | None = None
    """Numbers of style; left out, 12 for MNIST and 24 for CIFAR10 in --network compact,
    256 in resnet18."""

    detail_latents: int | None = None
    """Numbers of detail at each place of a map, of --network compact alone; left out, 4
    for MNIST and 12 for CIFAR10."""

    width: int | None = None
    """Channels of --network compact at half the image's size; left out, 32."""

    beta: float = 1.0
    """Weight of the rate, the KL divergence of the latents, beside the distortion."""

    obedience: float | None = None
    """Weight of the cross-entropy by which a auxiliary_classifier reads the label that was sent from
    the picture, of --network compact alone; left out, 5 for MNIST and 100 for CIFAR10.
    """


@dataclasses.dataclass(frozen=True)
class CVAEConfig(RunConfig, CVAEOptions):
    """Train a conditional VAE, which can be told another label than the image's."""

    epochs: int | None = None
    """How often the training sees every image; left out, 8 for MNIST and 10 for
    CIFAR10."""

    batch_size: int | None = None
    """Images a step; left out, 100 for --network compact and 32 for resnet18."""

    learning_rate: float | None = None
    """Adam's highest learning rate; left out, 0.002 for --network compact and 0.0001
    for resnet18."""

    def __post_init__(self):
        batch_size, learning_rate = STEPS[self.network]
        name = f"cvae_{self.dataset}_{self.network}_{self.likelihood}"
        suited = {
            "epochs": EPOCHS[self.dataset],
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "name": name if self.decoder_label else f"{name}_no_decoder_label",
        }
        for option, value in suited.items():
            if getattr(self, option) is None:
                object.__setattr__(self, option, value)
        self.check(
            latents=(1, 4096),
            detail_latents=(1, 64),
            width=(1, 1024),
            beta=(0, 1000),
            obedience=(0, 1e6),
        )
        for option in OF_COMPACT if self.network != "compact" else ():
            if getattr(self, option) is not None:
                name = option.replace("_", "-")
                raise InputError(
                    f"Expected --{name} only with --network compact. "
                    f"Received: --network {self.network}"
                )
        if not self.decoder_label and self.obedience is not None:
            raise InputError(
                "Expected --obedience only with a decoder that sees the label. "
                f"Received: --obedience {self.obedience} --no-decoder-label"
            )

    @property
    def sizes(self):
        """Latents of the network's levels, by the names of its arguments."""
        suited = SUITED[self.dataset] if self.network == "compact" else {}
        names = ("latents", "detail_latents", "width")
        asked = {name: getattr(self, name) for name in names}
        return suited | {name: n for name, n in asked.items() if n is not None}

    @property
    def balance(self):
        """As `cvae_tf.ladder.model.LossWeights`."""
        if not self.decoder_label:
            return (1.0, 0.0, 0.0, 0.0)
        sketch, independence, obedience, recovery = LOSS_WEIGHTS[self.dataset]
        if self.obedience is not None:
            obedience = self.obedience
        return (sketch, independence, obedience, recovery)


@dataclasses.dataclass(frozen=True)
class TuneCVAEConfig(CVAEConfig, SearchOptions):
    """Search for options of the compact conditional VAE that suit its images.

    The figure to minimise is the negative ELBO of the validation images, at beta 1, and
    10 nats for each percent of them that is not redrawn as the label that was sent.
    """

    epochs: int | None = 3
    """How often a trial's training sees every image, at the most."""

    tune: tuple[Tuned, ...] = tuple(SPACE)
    """What is searched; all other options are as they are given."""

    def __post_init__(self):
        if self.name is None:
            object.__setattr__(self, "name", f"tune_cvae_{self.dataset}")
        super().__post_init__()
        self.check(trials=(1, 10_000))
        if not self.tune:
            raise InputError("Expected --tune to name an option. Received none.")
        if self.network != "compact" or not self.decoder_label:
            raise InputError(
                "A search is for --network compact with a decoder that sees the label."
            )
