"""Data sets that TensorFlow Datasets (TFDS) has prepared: open, download, read."""

import os
import socket
import urllib.request

import numpy as np

from train_tf.data.datasets import DATASETS, find_dataset
from train_tf.errors import InputError


def open_dataset(name, data_dir=None):
    """Open a TFDS-prepared data set, and print its path.

    Args:
        name, data_dir: as in `find_dataset`.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        InputError: if there is none, or its description is damaged.
    """
    import tensorflow_datasets as tfds

    folder = find_dataset(name, data_dir)
    try:
        builder = tfds.builder_from_directory(folder)
        builder.info.splits["train"], builder.info.splits["test"]
    except Exception as error:  # each kind of damage raises its own type
        raise InputError(
            f"Expected the complete data set {name} in {folder}. Copy it again, or "
            f"prepare it by `python scripts/prepare_data.py {name}`. "
            f"{error or type(error).__name__}"
        ) from error
    counts = ", ".join(
        f"{split.num_examples:,} {key}" for key, split in builder.info.splits.items()
    )
    print(f"Data: {name} from {folder} ({counts})")
    return builder


def prepare_dataset(name, data_dir=None):
    """Download a whole data set and prepare it for TFDS, with a progress bar.

    Args:
        name: one of `DATASETS`.
        data_dir: where to put it; None for TFDS_DATA_DIR, or else TFDS's default.

    Raises:
        InputError: if it cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    data_dir = data_dir or os.getenv("TFDS_DATA_DIR")
    builder = tfds.builder(name, data_dir=data_dir)
    spec = DATASETS[name]
    print(
        f"{name}: downloading about {spec.download_mib} MiB, which become "
        f"{spec.prepared_mib} MiB in {builder.data_path}"
    )
    try:
        if not (builder.is_prepared() or urllib.request.getproxies()):
            # Fails at once without a network, where TFDS retries for minutes.
            socket.getaddrinfo(spec.host, 443)
        builder.download_and_prepare()
    except (
        Exception
    ) as error:  # network, proxy, checksum and disk raise different types
        raise InputError(
            f"{name} could not be downloaded from {spec.host}: {error}"
        ) from error
    open_dataset(name, data_dir or builder.data_path.parents[1])


def read_arrays(dataset, builder):
    """Read a whole data set into arrays with one row per example.

    Args:
        dataset: a finite `tf.data.Dataset` of tuples.
        builder: its `tfds.core.DatasetBuilder`.

    Raises:
        InputError: if a file is damaged; names it.
    """
    import tensorflow as tf

    try:
        columns = zip(*dataset.as_numpy_iterator(), strict=True)
        return tuple(np.stack(column) for column in columns)
    except tf.errors.OpError as error:
        damaged = _damaged_file(builder) or builder.data_path
        raise InputError(
            f"{damaged} is damaged. Copy it again, or prepare the data set again by "
            f"`python scripts/prepare_data.py {builder.name}`. {error.message}"
        ) from error


def _damaged_file(builder):
    """The first file with a damaged record or the wrong number of records."""
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
