"""Metrics of predicted masks, and baselines that need no network."""

import numpy as np

from train_tf import export
from unet_tf.masks import IGNORE
from unet_tf.metrics import segmentation_metrics

BATCH = 32
BINS = 15  # bins of confidence in the calibration error
METRICS = {  # key to title of each metric that `evaluate` computes
    "accuracy": "accuracy",
    "mean_iou": "mean IoU",
    "iou_pet": "IoU pet",
    "iou_background": "IoU background",
    "iou_outline": "IoU outline",
    "dice": "Dice",
    "iou_small": "IoU pet, small pets",
    "calibration_error": "calibration error",
    "checkerboard": "checkerboard",
}


def evaluate(saved_model, data):
    """Evaluate a SavedModel on the test images of the pets.

    Args:
        saved_model: folder of the SavedModel.
        data: the pets' `unet_tf.data.SegmentationData`.

    Returns:
        "metrics", a dict with the keys of `METRICS`, and "mean_iou_per_image", a list.
    """
    names, truth = data.class_names, data.test.masks[..., 0]
    probabilities = probabilities_of(saved_model, data.test.images)
    predicted = probabilities.argmax(-1)
    sizes = (truth == names.index("pet")).mean((1, 2))
    small = sizes <= np.quantile(sizes, 1 / 3)
    per_image = [
        metrics_of(one, other, names)["mean_iou"]
        for one, other in zip(truth, predicted, strict=True)
    ]
    metrics = {
        **metrics_of(truth, predicted, names),
        "dice": mean_dice(confusion_of(truth, predicted, len(names))),
        "iou_small": metrics_of(truth[small], predicted[small], names)["iou_pet"],
        "calibration_error": calibration_error(probabilities, truth),
        "checkerboard": checkerboard(probabilities),
    }
    return {
        "metrics": metrics,
        "mean_iou_per_image": [round(iou, 4) for iou in per_image],
    }


def probabilities_of(saved_model, images):
    """Class probabilities predicted by a SavedModel, (count, height, width, classes).

    Images are (count, height, width, 3), uint8.
    """
    model, _ = export.load(saved_model, "UNet")
    segment = model.signatures["serving_default"]
    batches = [
        segment(image=images[at : at + BATCH].astype("float32") / 255)["probabilities"]
        for at in range(0, len(images), BATCH)
    ]
    return np.concatenate(batches)


def metrics_of(truth, predicted, class_names):
    """`segmentation_metrics` of NumPy masks, as Python numbers.

    Args:
        truth: class ids, any shape, 255 where ignored.
        predicted: class ids, the same shape.
    """
    confusion = confusion_of(truth, predicted, len(class_names))
    metrics = segmentation_metrics(confusion, class_names)
    return {name: float(value) for name, value in metrics.items()}


def confusion_of(truth, predicted, classes):
    """Count pixels by (true class, predicted class); see `metrics_of`."""
    valid = truth != IGNORE
    cells = truth[valid].astype(int) * classes + predicted[valid]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def baselines(training_masks, test_masks, class_names):
    """Metrics of two predictions that need no network.

    Args:
        training_masks, test_masks: class ids, (count, height, width).

    Returns:
        Metrics by name: "baseline_majority_class" predicts the most frequent class of
        the training masks, "baseline_positional_prior" the most frequent at each pixel.
    """
    classes = range(len(class_names))
    counts = np.stack([(training_masks == number).sum(0) for number in classes])
    majority = np.full_like(test_masks, counts.sum((1, 2)).argmax())
    by_position = np.broadcast_to(
        counts.argmax(0).astype(test_masks.dtype), test_masks.shape
    )
    return {
        "baseline_majority_class": metrics_of(test_masks, majority, class_names),
        "baseline_positional_prior": metrics_of(test_masks, by_position, class_names),
    }


def mean_dice(confusion):
    """Dice coefficient, 2 |A and B| / (|A| + |B|), averaged over the classes."""
    overlap = np.diagonal(confusion)
    return float(np.mean(2 * overlap / (confusion.sum(0) + confusion.sum(1))))


def calibration_error(probabilities, truth):
    """Expected calibration error of the pixels, in [0, 1].

    The mean gap between confidence (the largest probability) and accuracy, in bins of
    equal width (Guo et al. 2017, "On calibration of modern neural networks").

    Args:
        probabilities: (count, height, width, classes).
        truth: class ids, (count, height, width), 255 where ignored.
    """
    valid = truth != IGNORE
    confidence = probabilities.max(-1)[valid].astype("float64")
    correct = (probabilities.argmax(-1) == truth)[valid]
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - correct, BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def checkerboard(probabilities):
    """Strength of a checkerboard pattern, in [0, 0.5].

    Half the absolute difference between the means of the two diagonals of 2x2 pixels,
    averaged over all 2x2 pixels of probabilities, (count, height, width, classes).
    """
    p = probabilities
    diagonals = p[:, :-1, :-1] + p[:, 1:, 1:] - p[:, :-1, 1:] - p[:, 1:, :-1]
    return float(np.abs(diagonals).mean() / 4)
