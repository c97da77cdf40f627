"""Figures that UNets are compared by, worked by hand."""

import numpy as np
import pytest

from unet_tf.data import load_data
from unet_tf.evaluation import (
    FIGURES,
    calibration_error,
    checkerboard,
    look_at,
    mean_dice,
)


def test_saved_model_is_looked_at_as_it_was_tested(trained):
    config, results, _ = trained
    looked_at = look_at(results["saved_model"], load_data(config))
    figures, ious = looked_at["figures"], looked_at["ious"]
    assert FIGURES.keys() <= figures.keys()
    for name in ("accuracy", "mean_iou", "iou_outline"):
        assert figures[name] == pytest.approx(results["test"][name], abs=1e-3)
    assert len(ious) == results["images"]["test"] and 0 < np.mean(ious) < 1
    assert 0 < figures["calibration_error"] < 1 > figures["dice"] > figures["mean_iou"]


def test_mean_dice_by_hand():
    confusion = np.array([[3, 1], [2, 4]])
    assert mean_dice(confusion) == pytest.approx((6 / 9 + 8 / 11) / 2)


def test_calibration_error_by_hand():
    probabilities = np.array([[[[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]]])
    truth = np.array([[[0, 1, 0, 255]]])
    # Sure by 0.9 and right in half of them; sure by 0.6 and right: 2/3 and 1/3 of all.
    expected = 2 / 3 * 0.4 + 1 / 3 * 0.4
    assert calibration_error(probabilities, truth) == pytest.approx(expected)


def test_checkerboard_is_seen_and_nothing_else():
    rows, columns = np.mgrid[:6, :6]
    board = ((rows + columns) % 2).astype(float)[None, ..., None]
    assert checkerboard(board) == 0.5
    assert checkerboard(board * 0.1) == pytest.approx(0.05)
    slope = (0.1 * rows + 0.03 * columns)[None, ..., None]
    assert checkerboard(slope) == pytest.approx(0)
