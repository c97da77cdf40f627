"""Start several workers of one training or search on this machine; see --help."""

import dataclasses
import sys

import tyro

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class LaunchLocalConfig:
    """Try on this machine what a training on several does: start one command as several
    workers, each with its share of the processors and a TF_CONFIG of its own."""

    command: tyro.conf.Positional[tuple[str, ...]]
    """The command, after --, for example -- python scripts/train_unet.py --resume"""

    workers: int = 2
    """How many workers."""

    search: bool = False
    """Whether the command is a search, scripts/tune_unet.py: each worker runs trials of
    its own, and one more process, the chief, hands them out."""

    restarts: int = 0
    """How often all are started again when one of them was lost. Give the command
    --resume, so that they go on from the last checkpoint."""


def main(config):
    from train_tf.distributed.launch import launch, of_search, of_training

    places = of_search if config.search else of_training
    return launch(config.command, config.workers, config.restarts, places)


if __name__ == "__main__":
    sys.exit(command_line.run(LaunchLocalConfig, main, tensorflow=False))
