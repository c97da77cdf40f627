"""Comparison of weights files."""

import h5py
import numpy as np


def arrays_in(file):
    """Dict, name -> array of a weights file, the optimizer's state too."""
    found = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(file) as opened:
        opened.visititems(collect)
    return found


def largest_change(one, other):
    """The largest difference of a layer's weights between two checkpoints."""
    one, other = (arrays_in(path / "model.weights.h5") for path in (one, other))
    weights = [x for x in one if not x.startswith(("optimizer", "vars/"))]
    return max(np.abs(one[name] - other[name]).max() for name in weights)


def assert_same_weights(one, other, tolerance=0.0):
    """Of two files, or of the files of two checkpoints."""
    one, other = (
        arrays_in(path / "model.weights.h5" if path.is_dir() else path)
        for path in (one, other)
    )
    assert one.keys() == other.keys() and len(one) > 3
    for name, values in one.items():
        np.testing.assert_allclose(
            values, other[name], rtol=tolerance, atol=tolerance, err_msg=name
        )
