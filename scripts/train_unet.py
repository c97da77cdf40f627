"""Train a UNet; see --help."""

import sys

from train_tf import command_line
from unet_tf.config import UNetConfig


def main(config):
    from unet_tf.training import train

    train(config)


if __name__ == "__main__":
    sys.exit(command_line.run(UNetConfig, main))
