"""Options of VAE training and search, with defaults, help and choices."""

import dataclasses
from typing import Literal

from train_tf.config import LogUniform, RunConfig, SearchOptions, flag, names_in
from train_tf.data.datasets import DATASETS, labelled_datasets
from train_tf.errors import InputError

TRAINING_DEFAULTS = {"batch_size": 100, "learning_rate": 2e-3, "latents": 64}
RESNET18_DEFAULTS = {"batch_size": 32, "learning_rate": 1e-4, "latents": 256}
COMPACT_OPTIONS = ("detail_latents", "width", "label_weight")

SEARCH_SPACE = {
    "latents": (6, 8, 12, 16, 24),
    "detail_latents": (2, 4, 8, 12),
    "width": (24, 32, 48),
    "beta": LogUniform(0.3, 3.0),
    "label_weight": LogUniform(1.0, 300.0),
    "learning_rate": LogUniform(5e-4, 5e-3),
}


@dataclasses.dataclass(frozen=True)
class CVAEOptions:
    """Options of a conditional VAE and its images."""

    dataset: Literal[*labelled_datasets()] = "mnist"
    """Images to train on."""

    network: Literal[*names_in("cvae_tf.networks", "NETWORKS")] = "compact"
    """compact: a style vector and two maps of detail latents, trained so that a redrawn
    image shows the requested label, under 2 million parameters; plain: one level of
    latents, under 1 million; resnet18: one level, 20 million."""

    likelihood: Literal[*names_in("cvae_tf.likelihoods", "LIKELIHOODS")] = "gaussian"
    """Likelihood of the pixels: Gaussian with one scale shared by all; Bernoulli, whose
    bits/dim is not a code length for 8-bit pixels; or discretised logistic, a
    probability of each of the 256 values."""

    decoder_label: bool = True
    """Whether the decoder receives the label; without it, relabelling acts only through
    the encoder's label (plain, resnet18) or not at all (compact)."""

    latents: int | None = None
    """Number of latents (compact: of style latents); by default 12 for MNIST and 24 for
    CIFAR10 with compact, 64 with plain, 256 with resnet18."""

    detail_latents: int | None = None
    """Detail latents at each position of a map (compact only); by default 4 for MNIST
    and 12 for CIFAR10."""

    width: int | None = None
    """Channels at half the image's size (compact only); by default 32."""

    beta: float = 1.0
    """Weight of the rate (the KL divergence of the latents); the distortion has 1."""

    label_weight: float | None = None
    """Weight of the label term (compact only): the cross-entropy of the requested label
    by the auxiliary classifier on the relabelled image; by default 5 for MNIST and 100
    for CIFAR10."""


@dataclasses.dataclass(frozen=True)
class CVAEConfig(RunConfig, CVAEOptions):
    """Train a conditional VAE, which can redraw an image under another label."""

    epochs: int | None = None
    """Number of passes over the training images; by default 8 for MNIST and 10 for
    CIFAR10."""

    batch_size: int | None = None
    """Maximum number of images per training step; the batches of an epoch differ by at
    most one image. By default 100, with resnet18 32."""

    learning_rate: float | None = None
    """Peak learning rate of Adam; by default 0.002, with resnet18 0.0001."""

    def __post_init__(self):
        self.check(
            latents=(1, 4096),
            detail_latents=(1, 64),
            width=(1, 1024),
            beta=(0, 1000),
            label_weight=(0, 1e6),
        )
        for option in COMPACT_OPTIONS if self.network != "compact" else ():
            if getattr(self, option) is not None:
                raise InputError(
                    f"Expected {flag(option)} only with --network compact. "
                    f"Received: --network {self.network}"
                )
        if not self.decoder_label and self.label_weight is not None:
            raise InputError(
                "Expected --label-weight only with a decoder that receives the label. "
                f"Received: --label-weight {self.label_weight} --no-decoder-label"
            )

    @property
    def default_name(self):
        name = f"cvae_{self.dataset}_{self.network}_{self.likelihood}"
        return name if self.decoder_label else f"{name}_no_decoder_label"

    @property
    def defaults(self):
        spec = DATASETS[self.dataset].cvae
        of_resnet18 = self.network == "resnet18"
        values = RESNET18_DEFAULTS if of_resnet18 else TRAINING_DEFAULTS
        values = {**values, "epochs": spec.epochs}
        if self.network == "compact":
            names = ("latents", "detail_latents", "width")
            values |= {name: getattr(spec, name) for name in names}
            if self.decoder_label:
                values["label_weight"] = spec.loss_weights["label"]
        return values

    @property
    def loss_weights(self):
        """Arguments of `cvae_tf.LossWeights`."""
        weights = DATASETS[self.dataset].cvae.loss_weights
        if not self.decoder_label:  # the coarse image does not depend on it
            return {name: w if name == "coarse" else 0 for name, w in weights.items()}
        if self.label_weight is not None:
            weights = weights | {"label": self.label_weight}
        return weights

    @property
    def model_options(self):
        """Arguments of `cvae_tf.build_cvae`."""
        resolved = self.resolve()
        names = [field.name for field in dataclasses.fields(CVAEOptions)] + ["seed"]
        options = {name: getattr(resolved, name) for name in names}
        del options["dataset"], options["label_weight"]
        return options | {"loss_weights": self.loss_weights}


@dataclasses.dataclass(frozen=True)
class TuneCVAEConfig(CVAEConfig, SearchOptions):
    """Search for good options of the compact conditional VAE.

    The search minimises `search_objective` on the validation images: the negative ELBO
    at beta 1, plus 10 nats for each percent of relabelled images for which the
    auxiliary classifier does not predict the requested label.
    """

    epochs: int | None = 3
    """Maximum number of epochs of a trial."""

    tune: tuple[Literal[*SEARCH_SPACE], ...] = tuple(SEARCH_SPACE)
    """Options to search over; the others keep their given values."""

    def __post_init__(self):
        super().__post_init__()
        self.check(trials=(1, 10_000))
        if not self.tune:
            raise InputError("Expected --tune to name an option. Received none.")
        if self.network != "compact" or not self.decoder_label:
            raise InputError(
                "A search is for --network compact with a decoder that receives the "
                f"label. Received: --network {self.network}"
                f"{'' if self.decoder_label else ' --no-decoder-label'}"
            )

    @property
    def default_name(self):
        return f"tune_cvae_{self.dataset}"
