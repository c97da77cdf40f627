"""Random training, validation and test splits."""

import itertools

import numpy as np

from train_tf.errors import InputError


def split_examples(count, shares, seed):
    """Split `count` numbered examples at random.

    Args:
        count: how many examples there are.
        shares: dict, name -> share in (0, 1), of each split but "train".
        seed: an integer; the splits depend on it and `count` alone.

    Returns:
        Name to sorted example numbers; "train" has all that are in no other split.

    Raises:
        InputError: if a split would be empty; states how many examples are needed.
    """
    fewest = next(n for n in itertools.count(1) if all(_sizes(n, shares).values()))
    if count < fewest:
        raise InputError(
            f"Expected {fewest} examples or more, so that each of "
            f"{', '.join(_sizes(0, shares))} has one. Received: {count}"
        )
    order = np.random.default_rng(seed).permutation(count)
    splits, start = {}, 0
    for name, size in _sizes(count, shares).items():
        splits[name] = np.sort(order[start : start + size])
        start += size
    return splits


def _sizes(count, shares):
    """The number of examples of each split: dict, name -> number."""
    sizes = {name: round(count * share) for name, share in shares.items()}
    return sizes | {"train": count - sum(sizes.values())}
