"""Examples drawn into training, validation and test splits."""

import itertools

import numpy as np

from train_tf.errors import InputError


def split_examples(count, shares, seed):
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
    """Name to the number of examples of each part that `split_examples` makes."""
    sizes = {name: round(count * share) for name, share in shares.items()}
    return sizes | {"train": count - sum(sizes.values())}
