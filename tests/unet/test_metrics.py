"""Metrics: equal to a NumPy reference, however the images are batched."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unet_tf.metrics import SegmentationMetrics, segmentation_metrics

NAMES = ("pet", "background", "outline")


def reference(truth, predicted, classes):
    valid = truth != 255
    truth, predicted = truth[valid], predicted[valid]
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
def test_metrics_equal_numpy_whatever_the_batch_size(batch_size):
    draw = np.random.default_rng(0)
    masks = draw.choice([0, 1, 2, 255], (7, 6, 5, 1))
    logits = draw.normal(size=(7, 6, 5, 3)).astype("float32")
    metric = SegmentationMetrics(NAMES)
    for start in range(0, 7, batch_size):
        rows = slice(start, start + batch_size)
        metric.update_state(masks[rows], logits[rows])
    expected = reference(masks[..., 0], logits.argmax(-1), 3)
    assert measured(metric) == pytest.approx(expected, rel=1e-6)


def test_logits_and_probabilities_predict_the_class_of_the_largest():
    truth = np.array([0, 1, 1, 0]).reshape(1, 2, 2)
    for of_class_1 in ([0.1, 0.9, 0.8, 0.2], [-2.0, 2.0, 0.6, -1.0]):
        of_class_1 = np.array(of_class_1).reshape(1, 2, 2)
        of_class_0 = np.where(of_class_1 < 0, 0.0, 0.5)
        metric = SegmentationMetrics(("ground", "thing"))
        metric.update_state(truth, np.stack([of_class_0, of_class_1], -1))
        assert measured(metric)["mean_iou"] == 1.0


def test_absent_class_has_no_iou_and_does_not_count():
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


def test_metrics_are_nan_if_no_pixel_counts():
    metric = SegmentationMetrics(NAMES)
    metric.update_state(np.full((1, 2, 2), 255), np.zeros((1, 2, 2, 3)))
    assert np.isnan(list(measured(metric).values())).all()


def test_counts_stay_exact_beyond_the_whole_numbers_of_float32():
    metric = SegmentationMetrics(("a", "b"))
    metric.confusion.assign([[2**24, 0], [0, 2**24]])
    metric.update_state(np.zeros((1, 1, 1)), [[[[1.0, 0.0]]]])
    assert int(metric.confusion[0, 0]) == 2**24 + 1


def test_reset_clears_the_counts():
    metric = SegmentationMetrics(("a", "b"))
    metric.update_state(np.ones((1, 1, 1)), [[[[1.0, 0.0]]]])
    metric.reset_state()
    metric.update_state(np.zeros((1, 1, 1)), [[[[1.0, 0.0]]]])
    assert measured(metric)["accuracy"] == 1


def test_metrics_worked_by_hand():
    # Class 0: 3 correct, 1 predicted as class 1; class 1: 2 correct, none missed.
    metrics = segmentation_metrics(np.array([[3, 1], [0, 2]]), ("a", "b"))
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
        {"accuracy": 5 / 6, "iou_a": 3 / 4, "iou_b": 2 / 3, "mean_iou": 17 / 24}
    )


def test_masks_of_another_shape_are_rejected():
    with pytest.raises(ValueError, match="masks of shape"):
        SegmentationMetrics(("a", "b")).update_state(
            np.zeros((1, 2, 3)), np.zeros((1, 3, 2, 2))
        )


def one_hot(row):
    masks = np.eye(3)[np.zeros((1, 2, 2), int)]
    masks[0, 1, 0] = row
    return masks


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.full((1, 2, 2), 3), "class ids 0 to 2, or 255 for ignored.*Received: 3$"),
        (np.full((1, 2, 2), -1), "class ids 0 to 2.*Received: -1$"),
        (np.full((1, 2, 2), 0.7), "class ids 0 to 2.*Received: 0.7$"),
        (one_hot((0, 0, 0)), r"one-hot masks.*Received: \[0. 0. 0.\]$"),
        (one_hot((0.25, 0.5, 0.25)), r"one-hot masks.*Received: \[0.25 0.5  0.25\]$"),
    ],
    ids=["too large", "negative", "fraction", "zeros", "soft"],
)
def test_invalid_masks_are_rejected(masks, message):
    metric = SegmentationMetrics(NAMES)
    with pytest.raises(ValueError, match=message):
        metric.update_state(masks, np.zeros((1, 2, 2, 3)))
    assert not np.any(metric.confusion)


def test_invalid_masks_in_a_compiled_function_count_nothing():
    metric = SegmentationMetrics(NAMES)
    update = tf.function(metric.update_state)
    for wrong in (3, -1, 254):
        update(tf.constant([[[0, wrong]]]), tf.zeros((1, 1, 2, 3)))
    assert not np.any(metric.confusion)
    update(tf.constant([[[0, 255]]]), tf.zeros((1, 1, 2, 3)))
    assert np.sum(metric.confusion) == 1


def test_sample_weight_is_rejected():
    # It was ignored without a word.
    with pytest.raises(ValueError, match="Expected no sample_weight.*Received"):
        SegmentationMetrics(NAMES).update_state(
            np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 3)), sample_weight=np.ones(1)
        )


def test_logits_of_another_number_of_classes_are_rejected():
    with pytest.raises(ValueError, match="logits of 3 classes.*1, 2, 2, 4"):
        SegmentationMetrics(NAMES).update_state(
            np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 4))
        )


def test_weighted_training_leaves_the_metric_unweighted():
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
    model.compile("sgd", "mse", metrics=[SegmentationMetrics(NAMES)], run_eagerly=True)
    images, masks = np.zeros((2, 2, 2, 1)), np.eye(3)[np.zeros((2, 2, 2), int)]
    logs = model.train_on_batch(images, masks, np.array([1.0, 0.0]), return_dict=True)
    assert 0 <= logs["accuracy"] <= 1


def test_metric_survives_its_config():
    again = keras.metrics.deserialize(
        keras.metrics.serialize(SegmentationMetrics(NAMES))
    )
    assert again.class_names == NAMES
