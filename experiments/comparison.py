"""The options of a comparison of trainings, whatever the model."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """What a comparison of trainings has, whatever the model."""

    train: bool = True
    """Whether to train; if not, tables and pictures are made of earlier trainings."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared sets; left out, TFDS_DATA_DIR, ~/tensorflow_datasets and
    the bundled samples are searched in this order."""

    runs_dir: Path = Path("runs")
    """Where the runs' folders go."""

    saved_models_dir: Path = Path("saved_models")
    """Where the SavedModels go."""

    out: Path = Path("results")
    """Where tables, pictures and each run's JSON go."""
