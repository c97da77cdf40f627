"""Download a complete data set; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from train_tf import command_line
from train_tf.data.datasets import DATASETS


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Download a complete data set and prepare it for TensorFlow Datasets."""

    name: Annotated[Literal[*DATASETS], tyro.conf.Positional]
    """Name of the data set."""

    data_dir: Path | None = None
    """Folder to put it in; by default TFDS_DATA_DIR, or else ~/tensorflow_datasets."""


def main(config):
    from train_tf.data.tfds import prepare_dataset

    prepare_dataset(config.name, config.data_dir)


if __name__ == "__main__":
    sys.exit(command_line.run(PrepareConfig, main))
