"""Metrics: equal to a NumPy reference, however the images are batched."""

import keras
import numpy as np
import pytest

from unet_tf.metrics import SegmentationMetrics, segmentation_metrics

NAMES = ("pet", "background", "outline")


def reference(truth, predicted, classes):
    counted = truth != 255
    truth, predicted = truth[counted], predicted[counted]
    iou = []
    for number in range(classes):
        union = ((truth == number) | (predicted == number)).sum()
        both = ((truth == number) & (predicted == number)).sum()
        iou.append(both / union if union else np.nan)
    return {
        "accuracy": (truth == predicted).mean(),
        "mean_iou": np.nanmean(iou),
        **{f"iou_{name}": value for name, value in zip(NAMES, iou, strict=False)},
    }


def measured(metric):
    return {name: float(value) for name, value in metric.result().items()}


@pytest.mark.parametrize("batch_size", [1, 2, 5, 7])
def test_figures_equal_numpy_whatever_the_batch_size(batch_size):
    draw = np.random.default_rng(0)
    masks = draw.choice([0, 1, 2, 255], (7, 6, 5, 1))
    logits = draw.normal(size=(7, 6, 5, 3)).astype("float32")
    metric = SegmentationMetrics(NAMES)
    for start in range(0, 7, batch_size):
        rows = slice(start, start + batch_size)
        metric.update_state(masks[rows], logits[rows])
    expected = reference(masks[..., 0], logits.argmax(-1), 3)
    assert measured(metric) == pytest.approx(expected, rel=1e-6)


def test_figures_of_logits_and_of_probabilities_are_those_of_the_larger():
    truth = np.array([0, 1, 1, 0]).reshape(1, 2, 2)
    for of_class_1 in ([0.1, 0.9, 0.8, 0.2], [-2.0, 2.0, 0.6, -1.0]):
        of_class_1 = np.array(of_class_1).reshape(1, 2, 2)
        of_class_0 = np.where(of_class_1 < 0, 0.0, 0.5)
        metric = SegmentationMetrics(("ground", "thing"))
        metric.update_state(truth, np.stack([of_class_0, of_class_1], -1))
        assert measured(metric)["mean_iou"] == 1.0


def test_class_that_is_nowhere_has_no_iou_and_does_not_count():
    metric = SegmentationMetrics(NAMES)
    metric.update_state(np.zeros((1, 2, 2)), np.eye(3)[np.zeros((1, 2, 2), int)])
    assert measured(metric) == pytest.approx(
        {
            "accuracy": 1,
            "mean_iou": 1,
            "iou_pet": 1,
            "iou_background": np.nan,
            "iou_outline": np.nan,
        },
        nan_ok=True,
    )


def test_where_no_pixel_counts_there_is_no_figure():
    metric = SegmentationMetrics(NAMES)
    metric.update_state(np.full((1, 2, 2), 255), np.zeros((1, 2, 2, 3)))
    assert np.isnan(list(measured(metric).values())).all()


def test_counts_stay_exact_beyond_the_whole_numbers_of_float32():
    metric = SegmentationMetrics(("a", "b"))
    metric.confusion.assign([[2**24, 0], [0, 2**24]])
    metric.update_state(np.zeros((1, 1, 1)), [[[[1.0, 0.0]]]])
    assert int(metric.confusion[0, 0]) == 2**24 + 1


def test_reset_forgets():
    metric = SegmentationMetrics(("a", "b"))
    metric.update_state(np.ones((1, 1, 1)), [[[[1.0, 0.0]]]])
    metric.reset_state()
    metric.update_state(np.zeros((1, 1, 1)), [[[[1.0, 0.0]]]])
    assert measured(metric)["accuracy"] == 1


def test_figures_worked_by_hand():
    # Class 0: 3 right, 1 taken for class 1; class 1: 2 right, none missed.
    figures = segmentation_metrics(np.array([[3, 1], [0, 2]]), ("a", "b"))
    assert {name: float(value) for name, value in figures.items()} == pytest.approx(
        {"accuracy": 5 / 6, "iou_a": 3 / 4, "iou_b": 2 / 3, "mean_iou": 17 / 24}
    )


def test_metric_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="masks of shape"):
        SegmentationMetrics(("a", "b")).update_state(
            np.zeros((1, 2, 3)), np.zeros((1, 3, 2, 2))
        )


def test_metric_survives_its_config():
    again = keras.metrics.deserialize(
        keras.metrics.serialize(SegmentationMetrics(NAMES))
    )
    assert again.class_names == NAMES
