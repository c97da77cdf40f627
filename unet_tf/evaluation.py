"""What UNets are compared by: figures of their answers to the test photographs."""

import numpy as np

from train_tf import export
from unet_tf.masks import IGNORE
from unet_tf.report import confusion_of, metrics_of

BATCH = 32
BINS = 15  # of confidence, for the calibration error
FIGURES = {
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


def probabilities_of(saved_model, photos):
    """What a SavedModel says of photographs, (count, height, width, classes)."""
    model, _ = export.load(saved_model, "UNet")
    segment = model.signatures["serving_default"]
    parts = [
        segment(image=photos[at : at + BATCH].astype("float32") / 255)["probabilities"]
        for at in range(0, len(photos), BATCH)
    ]
    return np.concatenate(parts)


def look_at(saved_model, photographs):
    """Judge a SavedModel on the test photographs.

    Returns:
        "figures", name to number, of `FIGURES`; and "ious", the mean IoU of each
        photograph.
    """
    test, names = photographs.test, photographs.class_names
    truth, probabilities = (
        test.masks[..., 0],
        probabilities_of(saved_model, test.photos),
    )
    predicted = probabilities.argmax(-1)
    sizes = (truth == names.index("pet")).mean((1, 2))
    small = sizes <= np.quantile(sizes, 1 / 3)
    ious = [
        metrics_of(one, other, names)["mean_iou"]
        for one, other in zip(truth, predicted, strict=True)
    ]
    figures = {
        **metrics_of(truth, predicted, names),
        "dice": mean_dice(confusion_of(truth, predicted, len(names))),
        "iou_small": metrics_of(truth[small], predicted[small], names)["iou_pet"],
        "calibration_error": calibration_error(probabilities, truth),
        "checkerboard": checkerboard(probabilities),
    }
    return {"figures": figures, "ious": [round(iou, 4) for iou in ious]}


def mean_dice(confusion):
    """Twice the overlap over the sum of both, mean over classes, of pixel counts."""
    overlap = np.diagonal(confusion)
    return float(np.mean(2 * overlap / (confusion.sum(0) + confusion.sum(1))))


def calibration_error(probabilities, truth):
    """How far a network's confidence is from how often it is right, [0, 1].

    The expected calibration error of pixels, in bins of equal width of the largest
    probability (Guo et al. 2017, "On calibration of modern neural networks").

    Args:
        probabilities: (count, height, width, classes).
        truth: class ids, (count, height, width), 255 where ignored.
    """
    counted = truth != IGNORE
    sure = probabilities.max(-1)[counted].astype("float64")
    right = (probabilities.argmax(-1) == truth)[counted]
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, sure - right, BINS)
    return float(np.abs(gaps).sum() / len(sure))


def checkerboard(probabilities):
    """How strongly neighbours differ as the fields of a chessboard do, [0, 0.5].

    The mean, over all 2x2 pixels and classes, of half the difference of both diagonals'
    means.

    Args:
        probabilities: (count, height, width, classes).
    """
    p = probabilities
    diagonals = p[:, :-1, :-1] + p[:, 1:, 1:] - p[:, :-1, 1:] - p[:, 1:, :-1]
    return float(np.abs(diagonals).mean() / 4)
