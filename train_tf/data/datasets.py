"""The named data sets: one `DatasetSpec` each, and where their files are found."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Literal, NamedTuple

from train_tf.errors import InputError

BUNDLED = Path(__file__).resolve().parents[2] / "datasets"
OKABE_ITO_ORANGE, BLACK, OKABE_ITO_BLUE = (230, 159, 0), (0, 0, 0), (0, 114, 178)


class Reference(NamedTuple):
    """Results of the reference notebook after its last epoch."""

    negative_elbo: float  # nats per image, mean of training batches
    epochs: int


@dataclasses.dataclass(frozen=True)
class CVAESpec:
    """Default hyperparameters of a conditional VAE of a data set.

    Attributes:
        latents, detail_latents, width: sizes of `--network compact`.
        epochs: number of training epochs.
        loss_weights: dict, name -> weight, as `cvae_tf.LossWeights`.
        style_measures: a name in `cvae_tf.evaluation.style.STYLE_MEASURES`.
        classifier_filters, classifier_epochs: size and training of the evaluation
            classifier.
        horizontal_flip: whether training images are flipped at random.
        reference: results of the reference notebook, or None.
    """

    latents: int
    detail_latents: int
    width: int
    epochs: int
    loss_weights: dict[str, float]
    style_measures: Literal["strokes", "colours"]
    classifier_filters: int
    classifier_epochs: int
    horizontal_flip: bool = False
    reference: Reference | None = None


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Metadata that TFDS does not have, or that is needed before TFDS is imported.

    Attributes:
        class_names: names in the order of the class ids.
        download_mib, prepared_mib: size of the complete data set in MiB.
        host: the server that TFDS downloads it from.
        colours: RGB of each class in figures of masks, 0 to 255; None without masks.
        cvae: defaults of conditional VAEs; None if there are no labels.
    """

    class_names: tuple[str, ...]
    download_mib: int
    prepared_mib: int
    host: str
    colours: tuple[tuple[int, int, int], ...] | None = None
    cvae: CVAESpec | None = None


DATASETS = {
    "oxford_iiit_pet": DatasetSpec(
        class_names=("pet", "background", "outline"),
        download_mib=774,
        prepared_mib=775,
        host="thor.robots.ox.ac.uk",
        colours=(OKABE_ITO_ORANGE, BLACK, OKABE_ITO_BLUE),
    ),
    "mnist": DatasetSpec(
        class_names=tuple("0123456789"),
        download_mib=11,
        prepared_mib=21,
        host="storage.googleapis.com",
        cvae=CVAESpec(
            latents=12,
            detail_latents=4,
            width=32,
            epochs=8,
            loss_weights={"coarse": 1, "adversarial": 5, "label": 5, "cycle": 5},
            style_measures="strokes",
            classifier_filters=16,
            classifier_epochs=6,
            reference=Reference(negative_elbo=-961.7, epochs=30),
        ),
    ),
    "cifar10": DatasetSpec(
        class_names=("airplane", "automobile", "bird", "cat", "deer")
        + ("dog", "frog", "horse", "ship", "truck"),
        download_mib=162,
        prepared_mib=132,
        host="www.cs.toronto.edu",
        cvae=CVAESpec(
            latents=24,
            detail_latents=12,
            width=32,
            epochs=10,
            loss_weights={"coarse": 1, "adversarial": 20, "label": 100, "cycle": 5},
            style_measures="colours",
            classifier_filters=32,
            classifier_epochs=12,
            horizontal_flip=True,
            reference=Reference(negative_elbo=-2668.7, epochs=20),
        ),
    ),
}


def labelled_datasets():
    """The names of the data sets that a conditional VAE can be trained on."""
    return [name for name, spec in DATASETS.items() if spec.cvae]


def find_dataset(name, data_dir=None):
    """Find the folder of a TFDS-prepared data set; nothing is ever downloaded.

    Looks in `data_dir`, and only there, if it is given. Otherwise it looks in this
    order: TFDS_DATA_DIR, ~/tensorflow_datasets, and the bundled samples.

    Args:
        name: TFDS's name of the data set, for example "oxford_iiit_pet".
        data_dir: a folder that holds `<name>/<version>/`.

    Returns:
        The folder of the newest version there.

    Raises:
        InputError: if no folder has the data set; lists the folders searched.
    """
    home = Path("~/tensorflow_datasets").expanduser()
    # An installed package has no datasets/ beside it; look in the current directory
    # instead.
    bundled = BUNDLED if BUNDLED.is_dir() else Path("datasets").resolve()
    folders = [data_dir] if data_dir else [os.getenv("TFDS_DATA_DIR"), home, bundled]
    folders = [Path(folder) for folder in folders if folder]
    for folder in folders:
        files = (folder / name).glob("*/dataset_info.json")
        versions = [x for x in files if re.fullmatch(r"\d+\.\d+\.\d+", x.parent.name)]
        if versions:
            return max(versions, key=_version_numbers).parent
    searched = "\n".join(f"  {folder / name}" for folder in folders)
    raise InputError(
        f"No prepared data set '{name}'. Searched for VERSION/dataset_info.json in\n"
        f"{searched}\nPrepare it with `python scripts/prepare_data.py {name}`, or pass "
        "its folder with --data-dir. The bundled samples are in the project's folder "
        "datasets/."
    )


def _version_numbers(info_file):
    return [int(part) for part in info_file.parent.name.split(".")]
