"""Coloured masks, drawn predictions, and the table of metrics."""

import numpy as np
import pytest
from PIL import Image

from unet_tf.report import colour_masks, draw_predictions, overlay, table

COLOURS = ((230, 159, 0), (0, 0, 0))


def test_masks_have_their_classes_colours_and_ignored_pixels_are_white():
    coloured = colour_masks(np.array([[0, 1, 255]], "uint8"), COLOURS)
    assert coloured.tolist() == [[[230, 159, 0], [0, 0, 0], [255, 255, 255]]]


def test_overlay_is_half_image_half_colour():
    image = np.full((1, 1, 3), 100, "uint8")
    assert overlay(image, np.zeros((1, 1), "uint8"), COLOURS).tolist() == [
        [[165, 130, 50]]
    ]


@pytest.mark.parametrize("count", [1, 8])
def test_predictions_are_drawn(count, tmp_path):
    masks = np.random.randint(0, 2, (count, 8, 8, 1)).astype("uint8")
    images = np.zeros((count, 8, 8, 3), "uint8")
    path = tmp_path / "x.png"
    predicted = {"prediction": masks[..., 0]}
    draw_predictions(path, images, masks, predicted, ("a", "b"), COLOURS)
    with Image.open(path) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
    assert {(230, 159, 0), (0, 0, 0)} <= colours


def test_table_is_markdown_with_one_row_per_title():
    row = {"accuracy": 0.5, "mean_iou": 0.25, "iou_a": 0.125, "iou_b": float("nan")}
    of_json = row | {"iou_b": None}
    lines = table({"test": row, "prior": of_json}, ("a", "b")).splitlines()
    assert len(lines) == 4 and lines[3] == lines[2].replace("test ", "prior")
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "test",
        "0.500",
        "0.250",
        "0.125",
        "-",
    ]
    assert len(set(map(len, lines))) == 1
