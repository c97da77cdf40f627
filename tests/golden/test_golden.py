"""Regression tests: losses and metrics of tiny trainings equal the stored ones.

The stored values were made by `python tests/golden/trainings.py`; they are changed in
a commit of their own that says why.
"""

import json

import numpy as np
import pytest
from golden.trainings import ALL, FAST, stored, train_tiny

MARKS = [() if name in FAST else pytest.mark.slow for name in ALL]


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=m) for x, m in zip(ALL, MARKS, strict=True)]
)
def test_training_goes_as_stored(name, tmp_path, small_sets):
    golden = json.loads(stored(name).read_text())
    trained = train_tiny(name, tmp_path, small_sets)
    assert len(trained["losses"]) == len(golden["losses"]) >= 10
    # Processors round differently, and each step makes the difference larger.
    np.testing.assert_allclose(
        trained["losses"][:10], golden["losses"][:10], rtol=1e-4, err_msg=name
    )
    assert trained["validation"].keys() == golden["validation"].keys()
    for metric, value in golden["validation"].items():
        # Shares in [0, 1] by 0.02, nats and bits by 2 %.
        tolerance = 0.02 * max(1, abs(value))
        assert trained["validation"][metric] == pytest.approx(value, abs=tolerance), (
            metric
        )
