"""Hyperparameter search for a conditional VAE; see --help."""

import sys

from cvae_tf.config import SEARCH_SPACE, CVAEConfig, TuneCVAEConfig
from train_tf import command_line


def main(config):
    from cvae_tf.training import CVAESearchTask
    from train_tf.search.search import search

    best = search(config, CVAEConfig, CVAESearchTask, SEARCH_SPACE)
    if best:
        print(f"Use it:      python scripts/train_cvae.py --config {best} --name tuned")


if __name__ == "__main__":
    sys.exit(command_line.run(TuneCVAEConfig, main))
