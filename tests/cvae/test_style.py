"""Style measures: exact on drawn strokes, and correlations within pairs of labels."""

import numpy as np
import pytest

from cvae_tf.evaluation.style import (
    colour_measures,
    correlations,
    sharpness,
    stroke_measures,
)


def stroke(lean, width=1, height=20):
    """A stroke that leans `lean` pixels to the right per pixel up."""
    image = np.zeros((1, 28, 28, 1))
    for up in range(height):
        left = 10 + lean * up
        image[0, 23 - up, left : left + width, 0] = 1
    return image


def test_upright_stroke_has_no_slant_and_its_own_ink():
    style = stroke_measures(stroke(0, width=3))
    assert style["ink"][0] == 60
    assert style["slant"][0] == pytest.approx(0, abs=1e-6)
    # The deviation of -1, 0, 1.
    assert style["width"][0] == pytest.approx(np.sqrt(2 / 3), rel=1e-5)


def test_slant_is_pixels_to_the_right_for_each_pixel_up():
    style = stroke_measures(stroke(1, height=15))
    assert style["slant"][0] == pytest.approx(1, rel=1e-4)
    assert style["width"][0] == pytest.approx(0, abs=1e-2)
    assert stroke_measures(stroke(1, height=15)[:, :, ::-1])["slant"][0] < -0.99


def test_black_image_has_finite_style():
    style = stroke_measures(np.zeros((2, 28, 28, 1)))
    assert all(np.isfinite(value).all() for value in style.values())


def test_colours_and_layout_of_a_half_lit_image():
    image = np.zeros((1, 32, 32, 3))
    image[:, :16, :, 0] = 0.6  # red above, black below
    style = colour_measures(image)
    assert [style[c][0] for c in ("red", "green", "blue")] == pytest.approx([0.3, 0, 0])
    assert style["top"][0] == pytest.approx(0.2)
    assert style["left"][0] == pytest.approx(0)


def test_correlation_is_taken_within_pairs_of_labels():
    # The order is kept within each pair, and reversed between the pairs.
    labels, requested = np.repeat([0, 1], 20), np.repeat([1, 0], 20)
    before = {"ink": np.concatenate([np.arange(20.0), 100 + np.arange(20.0)])}
    after = {"ink": np.concatenate([100 + np.arange(20.0), np.arange(20.0)])}
    assert correlations(before, after, labels, requested)["ink"] == pytest.approx(1)
    after = {"ink": -before["ink"]}
    assert correlations(before, after, labels, requested)["ink"] == pytest.approx(-1)


def test_few_images_of_many_pairs_of_labels_count_together():
    # Two of each of 90 pairs: a single pair says nothing.
    pairs = [(a, b) for a in range(10) for b in range(10) if a != b] * 2
    labels, requested = np.array(pairs).T
    random = np.random.default_rng(0)
    style, noise = random.normal(size=180), random.normal(size=180)
    before, after = {"ink": style + 9 * labels}, {"ink": style + noise + 9 * requested}
    found = correlations(before, after, labels, requested)["ink"]
    assert found == pytest.approx(1 / np.sqrt(2), abs=0.1)


def test_style_that_does_not_vary_has_no_correlation():
    labels, requested = np.zeros(20, int), np.ones(20, int)
    before, after = {"ink": np.arange(20.0)}, {"ink": np.ones(20)}
    assert correlations(before, after, labels, requested)["ink"] == 0


def test_sharpness_is_the_root_mean_square_step():
    checkered = np.indices((4, 4)).sum(0).reshape(1, 4, 4, 1) % 2
    assert sharpness(checkered) == pytest.approx(np.sqrt(2))
    assert sharpness(np.full((1, 4, 4, 1), 0.3)) == 0
