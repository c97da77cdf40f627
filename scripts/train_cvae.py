"""Train a conditional VAE; see --help."""

import sys

from cvae_tf.config import CVAEConfig
from train_tf import command_line


def main(config):
    from cvae_tf.training import train

    train(config)


if __name__ == "__main__":
    sys.exit(command_line.run(CVAEConfig, main))
