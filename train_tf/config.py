"""Options of every training, whatever the model."""

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

from train_tf.errors import InputError

LIMITS = {
    "epochs": (1, 1_000_000),
    "batch_size": (1, 65_536),
    "learning_rate": (1e-9, 10),
    "patience": (0, 1_000_000),
    "seed": (0, 2**31 - 1),
}


# Options that say where and how a training goes on, not what it gives.
WHERE_AND_HOW = {
    "config",
    "data_dir",
    "resume",
    "runs_dir",
    "saved_models_dir",
    "strategy",
}


class Between(NamedTuple):
    """What a search may choose a number from, small ones as finely as large ones."""

    least: float
    most: float


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a run is: how long, how fast, from which data, and where it is kept."""

    epochs: int = 10
    """How often the training sees every image."""

    batch_size: int = 32
    """Images a step."""

    learning_rate: float = 1e-3
    """The highest learning rate."""

    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on: a short rise and a cosine to nothing, or flat."""

    patience: int = 0
    """Stop after this many epochs without a better figure on the validation part; 0
    trains to the end."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared sets; left out, TFDS_DATA_DIR, ~/tensorflow_datasets and
    the bundled samples are searched in this order."""

    seed: int = 0
    """All randomness follows from it."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What is computed with; auto takes what this processor does well."""

    strategy: Literal["auto", "one", "mirrored", "multiworker"] = "auto"
    """Who trains: one device, all GPUs of this machine, or those of all machines that
    TF_CONFIG names; auto takes what there is. --batch-size is that of all together."""

    name: str | None = None
    """Name of the run; left out, it says what is trained."""

    resume: bool = False
    """Go on with the run of this name, or extend it with more --epochs."""

    runs_dir: Path = Path("runs")
    """Where the run's folder goes."""

    saved_models_dir: Path = Path("saved_models")
    """Where the SavedModel of the best epoch goes, as <name>/<version>."""

    config: Path | None = None
    """A JSON file of options, a search's best.json or a run's config.json; options on
    the command line stand above it."""

    @property
    def run_folder(self):
        """The folder of this run."""
        return self.runs_dir / self.name

    def check(self, **limits):
        """Refuse options out of range.

        Args:
            limits: name to (least, most) of the numbers that only this model has.

        Raises:
            InputError: says the option, its range and its value.
        """
        for name, (least, most) in {**LIMITS, **limits}.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(
                    f"Expected --{name.replace('_', '-')} from {least} to {most}. "
                    f"Received: {value}"
                )
        name = self.name
        if not name or Path(name).name != name or name[0] == ".":
            raise InputError(
                "Expected --name to be a plain name, without slashes or a leading dot. "
                f"Received: {name!r}"
            )


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """What a comparison of trainings has, whatever the model."""

    train: bool = True
    """Whether to train; if not, tables and pictures are made of earlier trainings."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared sets; left out, TFDS_DATA_DIR, ~/tensorflow_datasets and
    the bundled samples are searched in this order."""

    runs_dir: Path = Path("runs")
    """Where the runs' folders go."""

    saved_models_dir: Path = Path("saved_models")
    """Where the SavedModels go."""

    out: Path = Path("results")
    """Where tables, pictures and each run's JSON go."""


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """What a search has beside the options of its trainings."""

    method: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """How the next trial is chosen: many short trials whose best go on, a model of what
    the figure follows from, or at random."""

    trials: int = 30
    """How many trials, the first of them with the options as they are given; a search
    that is resumed is extended by more of them."""
