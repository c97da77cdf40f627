"""Redraw images under other labels with a trained conditional VAE; see --help."""

import dataclasses
import sys
from pathlib import Path

from train_tf import command_line
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class RelabelConfig:
    """Redraw test images, or an image of your own, under other labels."""

    model: Path = Path("saved_models/mnist_compact_gaussian")
    """A SavedModel: saved_models/NAME for its highest version, or
    saved_models/NAME/VERSION."""

    count: int = 25
    """Number of test images in wrong_labels.png."""

    evaluate: bool = True
    """Score all test images with an evaluation classifier. It is trained on first use,
    which takes minutes."""

    image: Path | None = None
    """An image of your own, to redraw under --label, or under every label."""

    label: str | None = None
    """Requested label of --image: its number or its name."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared data sets. By default they are looked up in this order:
    TFDS_DATA_DIR, ~/tensorflow_datasets, the bundled samples."""

    seed: int = 0
    """Random seed of the choice of test images and wrong labels."""

    out: Path | None = None
    """Folder for figures and scores; by default relabelled/NAME."""

    def __post_init__(self):
        if self.count < 1:
            raise InputError(f"Expected --count of 1 or more. Received: {self.count}")
        if self.label is not None and self.image is None:
            raise InputError(
                "Expected --label only with an --image of your own. "
                f"Received: --label {self.label} alone"
            )
        if not 0 <= self.seed < 2**31:
            raise InputError(
                f"Expected --seed from 0 to {2**31 - 1}. Received: {self.seed}"
            )


def main(config):
    from cvae_tf.relabel import evaluate_relabelling, relabel_image
    from train_tf.export import model_name

    out = config.out or Path("relabelled") / model_name(config.model)
    if config.image:
        print(relabel_image(config.model, config.image, config.label, out))
    else:
        options = (config.count, config.evaluate, config.data_dir, config.seed)
        print(evaluate_relabelling(config.model, out, *options))


if __name__ == "__main__":
    sys.exit(command_line.run(RelabelConfig, main))
