"""Options and figures that all comparisons of trainings share."""

import dataclasses
from pathlib import Path

from matplotlib import pyplot as plt


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Options that all comparisons share."""

    train: bool = True
    """Train what is not trained yet; --no-train only redraws the figures."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared data sets. By default they are looked up in this order:
    TFDS_DATA_DIR, ~/tensorflow_datasets, the bundled samples."""

    runs_dir: Path = Path("runs")
    """Parent folder of the runs' folders."""

    saved_models_dir: Path = Path("saved_models")
    """Parent folder of the SavedModels."""

    out: Path = Path("results")
    """Folder for figures and one JSON file per run."""


def panels(rows, columns, width, height, **options):
    """A figure of panels of a width and height in inches, and its axes, an array."""
    options |= {"figsize": (width * columns, height * rows), "layout": "constrained"}
    return plt.subplots(rows, columns, squeeze=False, **options)
