"""Hyperparameter search for a UNet; see --help."""

import sys

from train_tf import command_line
from unet_tf.config import SEARCH_SPACE, TuneUNetConfig, UNetConfig


def main(config):
    from train_tf.search.search import search
    from unet_tf.training import UNetTask

    best = search(config, UNetConfig, UNetTask, SEARCH_SPACE)
    if best:
        print(f"Use it:      python scripts/train_unet.py --config {best} --name tuned")


if __name__ == "__main__":
    sys.exit(command_line.run(TuneUNetConfig, main))
