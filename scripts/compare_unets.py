"""Train UNets with several seeds and compare them; see --help."""

import sys

from train_tf import command_line
from unet_tf.config import CompareUNetsConfig


def main(config):
    from unet_tf.compare import compare

    print(compare(config))


if __name__ == "__main__":
    sys.exit(command_line.run(CompareUNetsConfig, main))
