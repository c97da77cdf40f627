"""Every option of a UNet training, once: default, meaning and allowed values."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from train_tf.config import Between, RunConfig, SearchOptions
from train_tf.errors import InputError

Down = Literal["maxpool", "strided"]
Up = Literal["transpose", "upsample"]
Loss = Literal["bce", "dice", "ce", "bce_dice"]

# What a search may choose from.
SPACE = {
    "down": get_args(Down),
    "up": get_args(Up),
    "loss": get_args(Loss),
    "filters": (8, 12, 16, 24),
    "depth": (3, 4, 5),
    "dropout": (0.0, 0.1, 0.2, 0.3),
    "augment": (True, False),
    "batch_size": (4, 8, 16),
    "learning_rate": Between(1e-3, 5e-2),
}
Tuned = Literal[*SPACE]


@dataclasses.dataclass(frozen=True)
class UNetOptions:
    """What is a UNet's own: its parts, its loss, its photographs."""

    down: Down = "maxpool"
    """How the encoder halves: the largest of 2x2, or a convolution with stride 2."""

    up: Up = "transpose"
    """How the decoder doubles: a transpose convolution, or repeated pixels and one."""

    loss: Loss = "dice"
    """What the training minimises: binary cross-entropy of each class, Dice, softmax
    cross-entropy, or the sum of the first two."""

    filters: int = 16
    """Channels of the first level; each level down has twice as many."""

    depth: int = 4
    """How many times the encoder halves height and width."""

    dropout: float = 0.0
    """Share of the two deepest levels' features that is dropped in training, [0, 1)."""

    image_size: int = 128
    """Height and width, in pixels, that photographs are squeezed to."""

    augment: bool = True
    """Flip, turn, scale, brighten and contrast the training photographs at random."""

    images: Path | None = None
    """Folder of your own photographs; needs --masks."""

    masks: Path | None = None
    """Folder of masks, one for each photograph, with the same name up to the ending."""

    classes: int | None = None
    """How many classes your masks have; left out, as many as are found in them."""

    split: Literal["official", "article"] = "official"
    """Parts of the pets: the official test part and 15% of the rest for validation; or
    the article's 80% for training and 20% for both validation and test, at random."""


@dataclasses.dataclass(frozen=True)
class UNetConfig(RunConfig, UNetOptions):
    """Train a UNet on the bundled pets, or on your own photographs and masks."""

    epochs: int = 40
    batch_size: int = 8
    learning_rate: float = 1e-2
    """The highest learning rate, of Muon."""

    def __post_init__(self):
        if self.name is None:
            of = f"{Path(self.images).resolve().name}_" if self.images else ""
            name = f"unet_{of}{self.down}_{self.up}_{self.loss}"
            object.__setattr__(self, "name", name)
        self.check(
            filters=(1, 1024),
            depth=(1, 8),
            dropout=(0, 0.99),
            image_size=(2**self.depth, 8192),
            classes=(2, 255),
        )
        deepest = self.filters * 2**self.depth
        if deepest > 16_384:
            raise InputError(
                "Expected --filters times 2^depth, the deepest level's channels, to be "
                f"16384 at the most. Received: {self.filters} x 2^{self.depth}"
            )
        if (self.images is None) != (self.masks is None):
            given = "masks" if self.images is None else "images"
            raise InputError(
                f"Expected --images and --masks together. Received --{given} alone."
            )
        if self.split != "official" and self.images is not None:
            raise InputError(
                "Expected --split only with the pets; your own photographs go "
                f"70:15:15. Received: --split {self.split} and --images {self.images}"
            )
        if self.classes is not None and self.images is None:
            raise InputError(
                "Expected --classes only with your own --images and --masks. "
                f"Received: --classes {self.classes} without them"
            )


@dataclasses.dataclass(frozen=True)
class TuneUNetConfig(UNetConfig, SearchOptions):
    """Search for options of a UNet that suit its photographs."""

    epochs: int = 18
    """How often a trial's training sees every image, at the most."""

    tune: tuple[Tuned, ...] = tuple(SPACE)
    """What is searched; all other options are as they are given."""

    def __post_init__(self):
        if self.name is None:
            object.__setattr__(self, "name", "tune_unet")
        super().__post_init__()
        self.check(trials=(1, 10_000))
        if not self.tune:
            raise InputError("Expected --tune to name an option. Received none.")
