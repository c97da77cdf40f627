"""Figures, baselines and pictures."""

import numpy as np
import pytest
from PIL import Image

from unet_tf.report import (
    baselines,
    colour_masks,
    draw_predictions,
    metrics_of,
    overlay,
    table,
)

COLOURS = ((230, 159, 0), (0, 0, 0))


def test_figures_of_arrays_are_those_of_the_metric_and_skip_the_ignored():
    truth, predicted = np.array([0, 0, 1, 1, 255]), np.array([0, 1, 1, 1, 0])
    figures = metrics_of(truth, predicted, ("a", "b"))
    assert figures == pytest.approx(
        {"accuracy": 3 / 4, "iou_a": 1 / 2, "iou_b": 2 / 3, "mean_iou": 7 / 12}
    )


def test_floors_worked_by_hand():
    training = np.array([[[0, 1]], [[0, 1]], [[0, 0]]])
    test = np.array([[[0, 1]], [[1, 1]]])
    rows = baselines(training, test, ("a", "b"))
    assert rows["baseline_majority_class"]["accuracy"] == pytest.approx(1 / 4)
    by_position = rows["baseline_positional_prior"]
    assert by_position["accuracy"] == pytest.approx(3 / 4)


def test_masks_are_painted_in_the_classes_colours_and_ignored_in_white():
    painted = colour_masks(np.array([[0, 1, 255]], "uint8"), COLOURS)
    assert painted.tolist() == [[[230, 159, 0], [0, 0, 0], [255, 255, 255]]]


def test_overlay_is_half_photograph_half_colour():
    photo = np.full((1, 1, 3), 100, "uint8")
    assert overlay(photo, np.zeros((1, 1), "uint8"), COLOURS).tolist() == [
        [[165, 130, 50]]
    ]


@pytest.mark.parametrize("count", [1, 8])
def test_predictions_are_drawn(count, tmp_path):
    masks = np.random.randint(0, 2, (count, 8, 8, 1)).astype("uint8")
    photos = np.zeros((count, 8, 8, 3), "uint8")
    path = tmp_path / "x.png"
    predicted = {"prediction": masks[..., 0]}
    draw_predictions(path, photos, masks, predicted, ("a", "b"), COLOURS)
    with Image.open(path) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
    assert {(230, 159, 0), (0, 0, 0)} <= colours


def test_table_is_markdown_with_a_row_each():
    row = {"accuracy": 0.5, "mean_iou": 0.25, "iou_a": 0.125, "iou_b": float("nan")}
    of_json = row | {"iou_b": None}
    lines = table({"test": row, "floor": of_json}, ("a", "b")).splitlines()
    assert len(lines) == 4 and lines[3] == lines[2].replace("test ", "floor")
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "test",
        "0.500",
        "0.250",
        "0.125",
        "-",
    ]
    assert len(set(map(len, lines))) == 1
