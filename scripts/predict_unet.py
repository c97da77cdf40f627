"""Segment images with a trained UNet; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Write a mask and an overlay for an image, or for every image in a folder."""

    images: Annotated[Path, tyro.conf.Positional]
    """An image, or a folder of images; subfolders are included."""

    model: Path = Path("saved_models/pets_maxpool_transpose_dice")
    """A SavedModel: saved_models/NAME for its highest version, or
    saved_models/NAME/VERSION."""

    out: Path = Path("predictions")
    """Output folder; gets masks/ and overlays/."""

    flip: bool = False
    """Test-time augmentation: average the probabilities of the image and of the
    horizontally flipped image. Slightly more accurate, takes twice as long."""


def main(config):
    from unet_tf.prediction import predict

    written, problems = predict(config.model, config.images, config.out, config.flip)
    print(f"{written} masks in {config.out}/masks, overlays in {config.out}/overlays")
    for problem in problems:
        print(f"skipped: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(command_line.run(PredictConfig, main))
