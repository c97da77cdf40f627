"""Send images with a wrong label to a trained conditional VAE; see --help."""

import dataclasses
import sys
from pathlib import Path

from train_tf import command_line
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class WrongLabelsConfig:
    """Draw what a VAE makes of images sent with a wrong label, and have it judged."""

    model: Path = Path("saved_models/cvae_mnist_compact_gaussian")
    """A SavedModel: saved_models/NAME for its newest version, or NAME/VERSION."""

    count: int = 25
    """Test images in the stacked picture."""

    judge: bool = True
    """Score the whole test set by a classifier of real images; the first time it is
    trained, which takes minutes."""

    image: Path | None = None
    """A picture of your own, to be drawn under --label, or under every label."""

    label: str | None = None
    """The label to send with --image: its number or its name."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared sets; left out, TFDS_DATA_DIR, ~/tensorflow_datasets and
    the bundled samples are searched in this order."""

    seed: int = 0
    """What images and wrong labels are drawn by."""

    out: Path | None = None
    """Folder for pictures and scores; left out, wrong_labels/NAME."""

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

    out = config.out or Path("wrong_labels") / model_name(config.model)
    if config.image:
        print(relabel_image(config.model, config.image, config.label, out))
        return
    print(
        evaluate_relabelling(
            config.model, out, config.count, config.judge, config.data_dir, config.seed
        )
    )


if __name__ == "__main__":
    sys.exit(command_line.run(WrongLabelsConfig, main))
