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
    """What the reference notebook reports at its end."""

    negative_elbo: float  # nats per image, mean of training batches
    epochs: int


@dataclasses.dataclass(frozen=True)
class CVAESpec:
    """Default hyperparameters of a conditional VAE of a data set.

    Attributes:
        latents, detail_latents, width: sizes of `--network compact`.
        epochs: how often its training sees every image.
        loss_weights: name to weight, as `cvae_tf.LossWeights`.
        style: which measures of `cvae_tf.evaluation.style.STYLES` describe its images.
        classifier_filters, classifier_epochs: size and training of the evaluation
            classifier.
        reference: of the reference notebook; None if it has no result.
    """

    latents: int
    detail_latents: int
    width: int
    epochs: int
    loss_weights: dict[str, float]
    style: Literal["strokes", "colours"]
    classifier_filters: int
    classifier_epochs: int
    reference: Reference | None = None


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Metadata that TFDS does not have, or that is needed before TFDS is imported.

    Attributes:
        class_names: one per class id.
        download_mib, prepared_mib: size of the whole set.
        host: the server that TFDS downloads it from.
        mirrored: whether horizontal flips are valid augmentation.
        colours: RGB of each class in pictures of masks, 0 to 255; None without masks.
        cvae: for conditional VAEs; None if there are no labels to condition on.
    """

    class_names: tuple[str, ...]
    download_mib: int
    prepared_mib: int
    host: str
    mirrored: bool = False
    colours: tuple[tuple[int, int, int], ...] | None = None
    cvae: CVAESpec | None = None


DATASETS = {
    "oxford_iiit_pet": DatasetSpec(
        class_names=("pet", "background", "outline"),
        download_mib=774,
        prepared_mib=775,
        host="thor.robots.ox.ac.uk",
        mirrored=True,
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
            style="strokes",
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
        mirrored=True,
        cvae=CVAESpec(
            latents=24,
            detail_latents=12,
            width=32,
            epochs=10,
            loss_weights={"coarse": 1, "adversarial": 20, "label": 100, "cycle": 5},
            style="colours",
            classifier_filters=32,
            classifier_epochs=12,
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
    # Without the clone around it, the package may still be used inside of one.
    bundled = BUNDLED if BUNDLED.is_dir() else Path("datasets").resolve()
    places = [data_dir] if data_dir else [os.getenv("TFDS_DATA_DIR"), home, bundled]
    places = [Path(place) for place in places if place]
    for place in places:
        files = (place / name).glob("*/dataset_info.json")
        versions = [x for x in files if re.fullmatch(r"\d+\.\d+\.\d+", x.parent.name)]
        if versions:
            return max(versions, key=_version_numbers).parent
    searched = "\n".join(f"  {place / name}" for place in places)
    raise InputError(
        f"No prepared data set '{name}'. Searched for VERSION/dataset_info.json in\n"
        f"{searched}\nPrepare it by `python scripts/prepare_data.py {name}`, or give "
        "its folder by --data-dir. The bundled samples are in the project's folder "
        "datasets/."
    )


def _version_numbers(info_file):
    return [int(part) for part in info_file.parent.name.split(".")]
