"""Options of every training, whatever the model.

A config holds the options as given; None if an option was not given. What follows from
them is a property, or is filled in by `resolve`, so that `dataclasses.replace` always
gives a consistent config.
"""

import ast
import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from train_tf.errors import InputError

OPTION_RANGES = {
    "epochs": (1, 1_000_000),
    "batch_size": (1, 65_536),
    "learning_rate": (1e-9, 10),
    "patience": (0, 1_000_000),
    "seed": (0, 2**31 - 1),
}

# Options that say where files are and how the work is shared. They may differ when a
# run is resumed; split.json notices other file names (UNet) or numbers of images (VAE).
OPTIONS_NOT_COMPARED = {
    "config",
    "data_dir",
    "name",
    "resume",
    "runs_dir",
    "saved_models_dir",
    "strategy",
}


class LogUniform(NamedTuple):
    """A range that a search draws a number from, on a logarithmic scale."""

    low: float
    high: float

    def __contains__(self, value):
        return value is not None and self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Options of a run: how long, how fast, on which data, and where it is saved.

    A subclass defines `default_name`, and in `defaults` a value for each option that is
    None if it was not given.
    """

    epochs: int = 10
    """Number of passes over the training images."""

    batch_size: int = 32
    """Maximum number of images per training step; the batches of an epoch differ by at
    most one image."""

    learning_rate: float = 1e-3
    """Peak learning rate."""

    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning-rate schedule: linear warm-up then cosine decay, or constant."""

    patience: int = 0
    """Stop early after this many epochs without improvement on the validation images; 0
    trains all epochs."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared data sets. By default they are looked up in this order:
    TFDS_DATA_DIR, ~/tensorflow_datasets, the bundled samples."""

    seed: int = 0
    """Random seed of everything: initial weights, order, augmentation, dropout."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute precision. bfloat16 and float16 are Keras's mixed_bfloat16 and
    mixed_float16 (float32 weights). auto: bfloat16 if the GPUs, or without GPUs the
    CPU, support it natively, otherwise float32."""

    strategy: Literal["auto", "one", "mirrored", "multiworker"] = "auto"
    """Distribution strategy: one device, all GPUs of this machine, or the workers that
    TF_CONFIG names; auto uses all that are available. --batch-size is the total over
    all of them."""

    name: str | None = None
    """Name of the run; by default it follows from the other options."""

    resume: bool = False
    """Continue the run of this name, if there is one; with more --epochs, extend it."""

    runs_dir: Path = Path("runs")
    """Parent folder of the run's folder."""

    saved_models_dir: Path = Path("saved_models")
    """Parent folder of the SavedModel of the best epoch, <run name>/<version>."""

    config: Path | None = None
    """JSON file of options, for example a search's best.json or a run's config.json.
    Options on the command line take precedence."""

    @property
    def default_name(self):
        """Name of the run if no --name was given."""
        raise NotImplementedError

    @property
    def defaults(self):
        """Values of the options that are None if they were not given."""
        return {}

    @property
    def run_name(self):
        """Name of the run."""
        return self.default_name if self.name is None else self.name

    @property
    def run_folder(self):
        """The folder of the run."""
        return Path(self.runs_dir) / self.run_name

    @property
    def saved_model_folder(self):
        """The folder of the versions of the run's SavedModel."""
        return Path(self.saved_models_dir) / self.run_name

    def resolve(self):
        """This config with `defaults` for the options that were not given."""
        not_given = {
            x.name for x in dataclasses.fields(self) if getattr(self, x.name) is None
        }
        filled = {name: x for name, x in self.defaults.items() if name in not_given}
        return dataclasses.replace(self, **filled)

    def check(self, **limits):
        """Raise `InputError` if an option is out of range.

        Args:
            limits: dict, name -> (least, most), of numbers that only this model has.

        Raises:
            InputError: gives the option, its range and its value.
        """
        for name, (least, most) in {**OPTION_RANGES, **limits}.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(
                    f"Expected {flag(name)} from {least} to {most}. Received: {value}"
                )
        name = self.run_name
        if not name or Path(name).name != name or name[0] == ".":
            raise InputError(
                "Expected --name to be a plain name, without slashes or a leading dot. "
                f"Received: {name!r}"
            )


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """Options of a search, in addition to the options of its trainings."""

    method: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """Search method: many short trials of which the best are continued, a Gaussian
    process, or random search."""

    trials: int = 30
    """Number of trials. Resume a search with a larger number to extend it."""


def flag(option):
    """An option as it is typed: "batch_size" is --batch-size."""
    return f"--{option.replace('_', '-')}"


def names_in(module, table):
    """The keys of a module-level dict, without importing the module.

    The command line's choices are read from the dicts of blocks, losses, networks and
    likelihoods in this way, so that `--help` need not wait for TensorFlow's import.

    Args:
        module: its full name, for example "unet_tf.blocks".
        table: name of the dict, for example "DOWN_BLOCKS".

    Returns:
        A tuple of keys.
    """
    if module in sys.modules and hasattr(sys.modules[module], table):
        return tuple(getattr(sys.modules[module], table))
    package, _, name = module.rpartition(".")
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    names = []
    for node in ast.parse((folder / f"{name}.py").read_text("utf-8")).body:
        for target in getattr(node, "targets", ()):
            if isinstance(target, ast.Name) and target.id == table:
                names += [key.value for key in node.value.keys]
            if isinstance(target, ast.Subscript) and target.value.id == table:
                names.append(target.slice.value)  # TABLE["name"] = ...
    return tuple(names)


def choose(option, name, table, title=None):
    """Look up the value of an option in a dict of choices.

    Args:
        option: name of the option.
        name: a key of the dict.
        table: the dict.
        title: name of the option in the message; by default as it is typed.

    Raises:
        InputError: lists the choices.
    """
    if name not in table:
        raise InputError(
            f"Expected {title or flag(option)} to be one of {', '.join(table)}. "
            f"Received: {name}"
        )
    return table[name]
