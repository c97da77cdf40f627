"""Every option of a UNet training, once: default, meaning and allowed values."""

import dataclasses
from pathlib import Path
from typing import Literal

from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Train a UNet on the bundled pets, or on your own photographs and masks."""

    down: Literal["maxpool", "strided"] = "strided"
    """How the encoder halves: the largest of 2x2, or a convolution with stride 2."""

    up: Literal["transpose", "upsample"] = "upsample"
    """How the decoder doubles: a transpose convolution, or repeated pixels and one."""

    loss: Literal["bce", "dice", "ce", "bce_dice"] = "dice"
    """What is lowered: binary cross-entropy of each class, Dice, softmax cross-entropy,
    or the sum of the first two."""

    filters: int = 16
    """Channels of the first level; each level down has twice as many."""

    depth: int = 4
    """How many times the encoder halves height and width."""

    dropout: float = 0.0
    """Share of the two deepest levels' features that is dropped in training, [0, 1)."""

    image_size: int = 128
    """Height and width, in pixels, that photographs are squeezed to."""

    epochs: int = 40
    """How often the training sees every photograph."""

    batch_size: int = 8
    """Photographs a step."""

    learning_rate: float = 1e-2
    """The highest learning rate of the optimizer, Muon."""

    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on: a short rise and a cosine to nothing, or flat."""

    patience: int = 0
    """Stop after this many epochs without a better mean IoU on the validation part; 0
    trains to the end."""

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
    the article's 80% for training and 20% for both validation and test, by lot."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared sets; left out, TFDS_DATA_DIR, ~/tensorflow_datasets and
    the bundled samples are searched in this order."""

    seed: int = 0
    """All randomness follows from it."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What is computed with; auto takes what this processor does well."""

    name: str | None = None
    """Name of the run; left out, it says down, up and loss."""

    resume: bool = False
    """Go on with the run of this name, or extend it with more --epochs."""

    runs_dir: Path = Path("runs")
    """Where the run's folder goes."""

    saved_models_dir: Path = Path("saved_models")
    """Where the SavedModel of the best epoch goes, as <name>/<version>."""

    def __post_init__(self):
        if self.name is None:
            name = f"unet_{self.down}_{self.up}_{self.loss}"
            object.__setattr__(self, "name", name)
        _check_values(self)

    @property
    def run_folder(self):
        """The folder of this run."""
        return self.runs_dir / self.name


def _check_values(config):
    ranges = {
        "filters": (1, 1024),
        "depth": (1, 8),
        "dropout": (0, 0.99),
        "image_size": (2**config.depth, 8192),
        "epochs": (1, 1_000_000),
        "batch_size": (1, 65_536),
        "learning_rate": (1e-9, 10),
        "patience": (0, 1_000_000),
        "seed": (0, 2**31 - 1),
    }
    for name, (least, most) in ranges.items():
        value = getattr(config, name)
        if not least <= value <= most:
            raise InputError(
                f"Expected --{name.replace('_', '-')} from {least} to {most}. "
                f"Received: {value}"
            )
    if config.classes is not None and not 2 <= config.classes <= 255:
        raise InputError(
            f"Expected --classes from 2 to 255. Received: {config.classes}"
        )
    if (config.images is None) != (config.masks is None):
        raise InputError(
            "Expected --images and --masks together. Received one of them."
        )
    if config.split != "official" and config.images is not None:
        raise InputError("--split is for the pets; your own photographs go 70:15:15.")
    deepest = config.filters * 2**config.depth
    if deepest > 16_384:
        raise InputError(
            "Expected --filters times 2^depth, the deepest level's channels, to be "
            f"16384 at the most. Received: {config.filters} x 2^{config.depth}"
        )
    if config.classes is not None and config.images is None:
        raise InputError("--classes is for your own --images and --masks.")
    if (
        not config.name
        or Path(config.name).name != config.name
        or config.name[0] == "."
    ):
        raise InputError(
            "Expected --name to be a plain name, without slashes or a leading dot. "
            f"Received: {config.name!r}"
        )
