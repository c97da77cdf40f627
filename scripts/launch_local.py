"""Start several workers of one training or search on this machine; see --help."""

import dataclasses
import sys

import tyro

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class LaunchLocalConfig:
    """Test multi-worker training, or with --search a search, on one machine."""

    command: tyro.conf.Positional[tuple[str, ...]]
    """The command, after --, for example -- python scripts/train_unet.py --resume"""

    workers: int = 2
    """Number of workers."""

    search: bool = False
    """The command is tune_unet.py or tune_cvae.py: each worker trains its own trials,
    and one more process, the chief, assigns them."""


def main(config):
    from train_tf.distributed import launch

    environments = (
        launch.search_environments if config.search else launch.training_environments
    )
    return launch.launch(config.command, config.workers, environments)


if __name__ == "__main__":
    sys.exit(command_line.run(LaunchLocalConfig, main, tensorflow=False))
