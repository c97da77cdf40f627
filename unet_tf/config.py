"""Options of UNet training and search, with defaults, help and choices."""

import dataclasses
from pathlib import Path
from typing import Literal

from train_tf.config import LogUniform, RunConfig, SearchOptions, names_in
from train_tf.errors import InputError

DOWN = names_in("unet_tf.blocks", "DOWN_BLOCKS")
UP = names_in("unet_tf.blocks", "UP_BLOCKS")
LOSSES = names_in("unet_tf.losses", "LOSSES")

SEARCH_SPACE = {
    "down": DOWN,
    "up": UP,
    "loss": LOSSES,
    "filters": (8, 12, 16, 24),
    "depth": (3, 4, 5),
    "dropout": (0.0, 0.1, 0.2, 0.3),
    "augment": (True, False),
    "batch_size": (4, 8, 16),
    "learning_rate": LogUniform(1e-3, 5e-2),
}


@dataclasses.dataclass(frozen=True)
class UNetOptions:
    """Options of a UNet, its loss and its images."""

    down: Literal[*DOWN] = "maxpool"
    """Encoder downsampling: 2x2 max pooling, or a 3x3 convolution with stride 2."""

    up: Literal[*UP] = "transpose"
    """Decoder upsampling: transposed convolution, or nearest-neighbour upsampling
    followed by a convolution."""

    loss: Literal[*LOSSES] = "dice"
    """Loss: per-class binary cross-entropy, Dice, softmax cross-entropy, or `bce` +
    `dice`."""

    filters: int = 16
    """Channels of the first level; each deeper level has twice as many."""

    depth: int = 4
    """How many times the encoder halves height and width."""

    dropout: float = 0.0
    """Dropout rate of the two deepest levels, [0, 1)."""

    image_size: int = 128
    """Height and width, in pixels, that images and masks are resized to."""

    augment: bool = True
    """Augment training images at random: flip, rotate, zoom, brightness, contrast."""

    images: Path | None = None
    """Folder of your own images; needs --masks."""

    masks: Path | None = None
    """Folder of masks; each has the same file stem as its image (cat.jpg, cat.png)."""

    classes: int | None = None
    """Number of classes in your masks; by default as many as are found."""

    split: Literal["official", "article"] = "official"
    """Split of the pets: the official test split, and 15% of the rest for validation;
    or as in the article (Bhatia's U-Net for pets), a random 80% for training, and
    the other 20% for both validation and test."""


@dataclasses.dataclass(frozen=True)
class UNetConfig(RunConfig, UNetOptions):
    """Train a UNet on the Oxford-IIIT pets, or on your own images and masks.

    The bundled sample of the pets is used unless a complete copy is found."""

    epochs: int = 40
    batch_size: int = 8
    learning_rate: float = 1e-2
    """Peak learning rate of Muon."""

    @property
    def default_name(self):
        """unet_[<name of the folder of your own images>_]<down>_<up>_<loss>."""
        folder = f"{Path(self.images).resolve().name}_" if self.images else ""
        return f"unet_{folder}{self.down}_{self.up}_{self.loss}"

    def __post_init__(self):
        self.check(
            filters=(1, 1024),
            depth=(1, 8),
            dropout=(0, 0.99),
            image_size=(2**self.depth, 8192),
            classes=(2, 255),
        )
        if self.filters * 2**self.depth > 16_384:
            raise InputError(
                "Expected --filters times 2^depth, the channels of the deepest level, "
                f"to be at most 16384. Received: {self.filters} x 2^{self.depth}"
            )
        if (self.images is None) != (self.masks is None):
            received = "masks" if self.images is None else "images"
            raise InputError(
                f"Expected --images and --masks together. Received: only --{received}"
            )
        if self.split != "official" and self.images is not None:
            raise InputError(
                "Expected --split only with the pets; your own images are split "
                f"70:15:15. Received: --split {self.split} and --images {self.images}"
            )
        if self.classes is not None and self.images is None:
            raise InputError(
                "Expected --classes only with your own --images and --masks. "
                f"Received: --classes {self.classes} without them"
            )


@dataclasses.dataclass(frozen=True)
class TuneUNetConfig(UNetConfig, SearchOptions):
    """Search for good options of a UNet."""

    epochs: int = 18
    """Maximum number of epochs of a trial."""

    tune: tuple[Literal[*SEARCH_SPACE], ...] = tuple(SEARCH_SPACE)
    """Options to search over; the others keep their given values."""

    @property
    def default_name(self):
        return "tune_unet"

    def __post_init__(self):
        super().__post_init__()
        self.check(trials=(1, 10_000))
        if not self.tune:
            raise InputError("Expected --tune to name an option. Received none.")
