"""Draw masks for photographs with a trained UNet; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Write a mask and an overlay for a photograph, or for all in a folder."""

    photos: Annotated[Path, tyro.conf.Positional]
    """A photograph, or a folder of photographs and folders."""

    model: Path = Path("saved_models/unet_maxpool_transpose_dice")
    """A SavedModel: saved_models/NAME for its newest version, or NAME/VERSION."""

    out: Path = Path("predictions")
    """Folder for masks/ and overlays/."""

    mirror: bool = False
    """Average with the mirrored photograph: a little better, in twice the time."""


def main(config):
    from unet_tf.prediction import predict

    written, problems = predict(config.model, config.photos, config.out, config.mirror)
    print(f"{written} masks in {config.out}/masks, overlays in {config.out}/overlays")
    for problem in problems:
        print(f"not read: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(command_line.run(PredictConfig, main))
