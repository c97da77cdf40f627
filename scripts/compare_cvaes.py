"""Train conditional VAEs, have them judged and compare them; see --help."""

import sys

from cvae_tf.config import CompareCVAEsConfig
from train_tf import command_line


def main(config):
    from cvae_tf.compare import compare

    print(compare(config))


if __name__ == "__main__":
    sys.exit(command_line.run(CompareCVAEsConfig, main))
