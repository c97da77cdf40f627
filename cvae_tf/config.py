"""Every option of a VAE training, once: default, meaning and allowed values."""

import dataclasses
from pathlib import Path
from typing import Literal

from train_tf.config import RunConfig
from train_tf.errors import InputError

SUITED = {
    "mnist": {"latents": 12, "detail_latents": 4},
    "cifar10": {"latents": 24, "detail_latents": 12},
}
EPOCHS = {"mnist": 8, "cifar10": 10}
STEPS = {"compact": (100, 2e-3), "resnet18": (32, 1e-4)}  # batch, learning rate
BALANCE = {"mnist": (1.0, 5.0, 5.0, 5.0), "cifar10": (1.0, 20.0, 100.0, 5.0)}


@dataclasses.dataclass(frozen=True)
class CVAEOptions:
    """What is a conditional VAE's own: its images, its networks, its likelihood."""

    dataset: Literal["mnist", "cifar10"] = "mnist"
    """Which images."""

    network: Literal["compact", "resnet18"] = "compact"
    """A ladder of latents in under two million weights, or one level in 20 million."""

    likelihood: Literal["gaussian", "bernoulli", "discretized_logistic"] = "gaussian"
    """How far an image is from what the decoder says: one scale for all pixels, a coin
    for each pixel, or a probability of each of its 256 values."""

    decoder_label: bool = True
    """Whether the decoder sees the label; without it, a wrong label cannot show."""

    latents: int | None = None
    """Numbers of style; left out, what suits the images and the network."""

    detail_latents: int | None = None
    """Numbers of detail at each place of a map; left out, what suits the images. Only
    --network compact has them."""

    beta: float = 1.0
    """What a nat of rate costs, in nats of distortion."""


@dataclasses.dataclass(frozen=True)
class CVAEConfig(RunConfig, CVAEOptions):
    """Train a conditional VAE, which can be told another label than the image's."""

    epochs: int | None = None
    """How often the training sees every image; left out, what suits the images."""

    batch_size: int | None = None
    """Images a step; left out, what suits the network."""

    learning_rate: float | None = None
    """The highest learning rate; left out, what suits the network."""

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
        self.check(latents=(1, 4096), detail_latents=(1, 64), beta=(0, 1000))
        if self.network != "compact" and self.detail_latents is not None:
            raise InputError("--detail-latents is for --network compact.")

    @property
    def sizes(self):
        """Latents of the network's levels, by the names of its arguments."""
        suited = SUITED[self.dataset] if self.network == "compact" else {}
        asked = {"latents": self.latents, "detail_latents": self.detail_latents}
        return suited | {name: n for name, n in asked.items() if n is not None}

    @property
    def balance(self):
        """As `cvae_tf.ladder.Balance`."""
        return BALANCE[self.dataset] if self.decoder_label else (1.0, 0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class CompareCVAEsConfig:
    """Train conditional VAEs, or go on with them, have them judged and compare them."""

    dataset: tuple[Literal["mnist", "cifar10"], ...] = ("mnist", "cifar10")
    """On which images."""

    plain_epochs: int = 2
    """Epochs of the compact network whose decoder does not see the label."""

    seed_form_epochs: int = 1
    """Epochs of the ResNet18 in the seed's form, which takes long."""

    data_dir: Path | None = None
    """As train_cvae.py's."""

    runs_dir: Path = Path("runs")
    """Where the runs' folders go, and the judges."""

    saved_models_dir: Path = Path("saved_models")
    """Where the SavedModels go."""

    out: Path = Path("results")
    """Where tables, pictures and each run's JSON go."""
