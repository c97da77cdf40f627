"""Where data comes from: sets prepared for TensorFlow Datasets (TFDS)."""

import itertools
import os
import re
import socket
import urllib.request
from pathlib import Path

import numpy as np

from train_tf.errors import InputError

# The whole sets: MiB to download and MiB prepared, by TFDS's catalogue; the host.
WHOLE_SETS = {
    "oxford_iiit_pet": (774, 775, "thor.robots.ox.ac.uk"),
    "mnist": (11, 21, "storage.googleapis.com"),
    "cifar10": (162, 132, "www.cs.toronto.edu"),
}

BUNDLED = Path(__file__).resolve().parents[1] / "datasets"


def find_dataset(name, data_dir=None):
    """Find the folder of a TFDS-prepared set; nothing is ever downloaded.

    Looks in `data_dir`, and only there, if it is given; else in the environment's
    TFDS_DATA_DIR, in TFDS's own folder, and in the samples that this project carries.

    Args:
        name: TFDS's name of the set, for example "oxford_iiit_pet".
        data_dir: a folder that holds `<name>/<version>/`.

    Returns:
        The folder of the newest version there.

    Raises:
        InputError: if no folder has the set; says which were searched and what to do.
    """
    home = Path("~/tensorflow_datasets").expanduser()
    places = [data_dir] if data_dir else [os.getenv("TFDS_DATA_DIR"), home, BUNDLED]
    places = [Path(place) for place in places if place]
    for place in places:
        files = (place / name).glob("*/dataset_info.json")
        versions = [x for x in files if re.fullmatch(r"\d+\.\d+\.\d+", x.parent.name)]
        if versions:
            return max(versions, key=_version_numbers).parent
    searched = "\n".join(f"  {place / name}" for place in places)
    raise InputError(
        f"No prepared data set '{name}'. Searched for VERSION/dataset_info.json in\n"
        f"{searched}\nPrepare it by `python scripts/prepare_data.py {name}`, or name "
        "its folder by --data-dir, or use the bundled samples by leaving that out."
    )


def open_dataset(name, data_dir=None):
    """Open a TFDS-prepared set and say in one line which one it is.

    Args:
        name, data_dir: as in `find_dataset`.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        InputError: if there is none, or what describes it is damaged.
    """
    import tensorflow_datasets as tfds

    folder = find_dataset(name, data_dir)
    try:
        builder = tfds.builder_from_directory(folder)
        builder.info.splits["train"], builder.info.splits["test"]
    except Exception as error:  # each file and each way to be broken has its own type
        raise InputError(
            f"{folder} is no whole data set {name}. Copy it again, or prepare it by "
            f"`python scripts/prepare_data.py {name}`. {error or type(error).__name__}"
        ) from error
    counts = ", ".join(
        f"{split.num_examples:,} {key}" for key, split in builder.info.splits.items()
    )
    print(f"Data: {name} from {folder} ({counts})")
    return builder


def prepare_dataset(name, data_dir=None):
    """Download a whole set and prepare it for TFDS, with progress shown.

    Args:
        name: one of `WHOLE_SETS`.
        data_dir: where to put it; None for TFDS_DATA_DIR, or else TFDS's own folder.

    Raises:
        InputError: if it cannot be downloaded; what was there before stays.
    """
    import tensorflow_datasets as tfds

    data_dir = data_dir or os.getenv("TFDS_DATA_DIR")
    builder = tfds.builder(name, data_dir=data_dir)
    download, prepared, host = WHOLE_SETS[name]
    print(
        f"{name}: about {download} MiB to download and {prepared} MiB prepared, "
        f"into {builder.data_path}"
    )
    try:
        if not (builder.is_prepared() or urllib.request.getproxies()):
            socket.getaddrinfo(host, 443)  # without a network TFDS tries for minutes
        builder.download_and_prepare()
    except Exception as error:  # network, proxy, checksum, disk: each its own type
        raise InputError(
            f"{name} could not be downloaded from {host}: {error}"
        ) from error
    open_dataset(name, data_dir or builder.data_path.parents[1])


def draw_parts(count, shares, seed):
    """Draw parts of `count` numbered examples by lot, the same for the same seed.

    Args:
        count: how many examples there are.
        shares: name to share in (0, 1) of each part that is drawn.
        seed: a whole number; the draw depends on it and `count` alone.

    Returns:
        Name to sorted example numbers; "train" has what no part drew.

    Raises:
        InputError: if a part would be empty; says how many examples are needed.
    """
    fewest = next(n for n in itertools.count(1) if all(_sizes(n, shares).values()))
    if count < fewest:
        raise InputError(
            f"{count} examples are too few. Expected {fewest} or more, so that each of "
            f"{', '.join(_sizes(0, shares))} has one."
        )
    order = np.random.default_rng(seed).permutation(count)
    parts, start = {}, 0
    for name, size in _sizes(count, shares).items():
        parts[name] = np.sort(order[start : start + size])
        start += size
    return parts


def _sizes(count, shares):
    """Name to the number of examples of each part that `draw_parts` makes."""
    sizes = {name: round(count * share) for name, share in shares.items()}
    return sizes | {"train": count - sum(sizes.values())}


def read_arrays(dataset, builder):
    """Read a set whole, into arrays with a row for each example.

    Args:
        dataset: a finite `tf.data.Dataset` of tuples.
        builder: the `tfds.core.DatasetBuilder` that it comes from.

    Raises:
        InputError: if a file of the set is damaged; names it.
    """
    import tensorflow as tf

    try:
        columns = zip(*dataset.as_numpy_iterator(), strict=True)
        return tuple(np.stack(column) for column in columns)
    except tf.errors.OpError as error:
        damaged = _damaged_file(builder) or builder.data_path
        raise InputError(
            f"{damaged} is damaged. Copy it again, or prepare the set again by `python "
            f"scripts/prepare_data.py {builder.name}`. TensorFlow says: {error.message}"
        ) from error


def _damaged_file(builder):
    """The first file of a set with a broken record, or with too few or too many."""
    import tensorflow as tf

    for split in builder.info.splits.values():
        for file, expected in zip(split.filepaths, split.shard_lengths, strict=True):
            try:
                records = sum(1 for _ in tf.data.TFRecordDataset(str(file)))
            except tf.errors.OpError:
                return file
            if records != expected:
                return file
    return None


def _version_numbers(info_file):
    return [int(part) for part in info_file.parent.name.split(".")]
