"""Download a whole data set, when you ask for it; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Download a whole data set and prepare it for TensorFlow Datasets."""

    name: Annotated[
        Literal["oxford_iiit_pet", "mnist", "cifar10"], tyro.conf.Positional
    ]
    """Which one."""

    data_dir: Path | None = None
    """Where to put it; left out, TFDS_DATA_DIR, or else ~/tensorflow_datasets."""


def main(config):
    from train_tf.data.datasets import prepare_dataset

    prepare_dataset(config.name, config.data_dir)


if __name__ == "__main__":
    sys.exit(command_line.run(PrepareConfig, main))
