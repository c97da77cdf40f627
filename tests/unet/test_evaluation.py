"""Metrics and baselines, worked by hand."""

import numpy as np
import pytest

from unet_tf.data import load_data
from unet_tf.evaluation import (
    METRICS,
    baselines,
    calibration_error,
    checkerboard,
    evaluate,
    mean_dice,
    metrics_of,
)


def test_metrics_of_a_saved_model_are_those_of_its_training(trained):
    config, results, _ = trained
    evaluated = evaluate(results["saved_model"], load_data(config))
    metrics, per_image = evaluated["metrics"], evaluated["mean_iou_per_image"]
    assert METRICS.keys() <= metrics.keys()
    for name in ("accuracy", "mean_iou", "iou_outline"):
        assert metrics[name] == pytest.approx(results["test"][name], abs=1e-3)
    assert len(per_image) == results["images"]["test"] and 0 < np.mean(per_image) < 1
    assert 0 < metrics["calibration_error"] < 1 > metrics["dice"] > metrics["mean_iou"]


def test_metrics_of_arrays_are_worked_by_hand_and_skip_ignored_pixels():
    truth, predicted = np.array([0, 0, 1, 1, 255]), np.array([0, 1, 1, 1, 0])
    assert metrics_of(truth, predicted, ("a", "b")) == pytest.approx(
        {"accuracy": 3 / 4, "iou_a": 1 / 2, "iou_b": 2 / 3, "mean_iou": 7 / 12}
    )


def test_baselines_by_hand():
    training = np.array([[[0, 1]], [[0, 1]], [[0, 0]]])
    test = np.array([[[0, 1]], [[1, 1]]])
    rows = baselines(training, test, ("a", "b"))
    assert rows["baseline_majority_class"]["accuracy"] == pytest.approx(1 / 4)
    by_position = rows["baseline_positional_prior"]
    assert by_position["accuracy"] == pytest.approx(3 / 4)


def test_mean_dice_by_hand():
    confusion = np.array([[3, 1], [2, 4]])
    assert mean_dice(confusion) == pytest.approx((6 / 9 + 8 / 11) / 2)


def test_calibration_error_by_hand():
    probabilities = np.array([[[[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]]])
    truth = np.array([[[0, 1, 0, 255]]])
    # Confidence 0.9, half of them correct; 0.6, correct: 2/3 and 1/3 of all pixels.
    expected = 2 / 3 * 0.4 + 1 / 3 * 0.4
    assert calibration_error(probabilities, truth) == pytest.approx(expected)


def test_checkerboard_is_measured_and_nothing_else():
    rows, columns = np.mgrid[:6, :6]
    board = ((rows + columns) % 2).astype(float)[None, ..., None]
    assert checkerboard(board) == 0.5
    assert checkerboard(board * 0.1) == pytest.approx(0.05)
    slope = (0.1 * rows + 0.03 * columns)[None, ..., None]
    assert checkerboard(slope) == pytest.approx(0)
