"""Splits are drawn by seed, share nothing, and are never empty."""

import numpy as np
import pytest

from train_tf.data.splits import split_examples
from train_tf.errors import InputError


def test_splits_are_drawn_by_seed_and_share_nothing():
    splits = split_examples(100, {"validation": 0.15, "test": 0.2}, seed=1)
    assert {name: len(rows) for name, rows in splits.items()} == {
        "validation": 15,
        "test": 20,
        "train": 65,
    }
    together = np.concatenate(list(splits.values()))
    assert sorted(together) == list(range(100))
    again = split_examples(100, {"validation": 0.15, "test": 0.2}, seed=1)
    other = split_examples(100, {"validation": 0.15, "test": 0.2}, seed=2)
    assert all((splits[name] == again[name]).all() for name in splits)
    assert (splits["test"] != other["test"]).any()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_part_that_would_be_empty_is_rejected(count):
    with pytest.raises(
        InputError,
        match="Expected 6 examples or more, so that each of validation, train has one. "
        f"Received: {count}",
    ):
        split_examples(count, {"validation": 0.1}, seed=0)
    assert len(split_examples(6, {"validation": 0.1}, seed=0)["validation"]) == 1
