"""Pixel accuracy and intersection over union (IoU) of each class."""

import keras
from keras import ops

from unet_tf.masks import IGNORE, class_ids


@keras.saving.register_keras_serializable("unet_tf")
class SegmentationMetrics(keras.metrics.Metric):
    """Pixel accuracy, IoU of each class and mean IoU, from one confusion matrix.

    Pixels are counted, as integers, over all images since the last reset, so the result
    does not depend on batches. A class that is neither in the truth nor in the
    prediction has no IoU (NaN) and is left out of the mean. If all pixels are ignored,
    every metric is NaN.

    Args:
        class_names: one per class; `result()["iou_<name>"]` is its IoU.
    """

    def __init__(self, class_names, name="segmentation", **settings):
        super().__init__(name=name, **settings)
        self.class_names = tuple(class_names)
        classes = len(self.class_names)
        self.confusion = self.add_variable(
            (classes, classes), "zeros", dtype="int64", name="confusion"
        )

    def update_state(self, masks, logits, sample_weight=None):
        """Count the pixels of a batch.

        Args:
            masks, logits: see `unet_tf.losses.PerImageLoss`, also for errors. A
                compiled function counts nothing of a batch with invalid masks.
            sample_weight: must be None, else ValueError; pixels have no weights.
        """
        if sample_weight is not None:
            raise ValueError(
                f"Expected no sample_weight; a mask's {IGNORE} leaves out a pixel. "
                f"Received: sample_weight={sample_weight}"
            )
        logits = ops.convert_to_tensor(logits)
        classes = len(self.class_names)
        if logits.shape[-1] != classes:
            raise ValueError(
                f"Expected logits of {classes} classes, one per name. "
                f"Received: logits.shape={tuple(logits.shape)}"
            )
        truth, all_valid = class_ids(masks, logits.shape)
        predicted = ops.cast(ops.argmax(logits, axis=-1), "int32")
        valid = all_valid & (truth != IGNORE)
        cell = ops.where(valid, truth * classes + predicted, 0)
        counts = ops.bincount(
            ops.reshape(cell, (-1,)),
            weights=ops.reshape(ops.cast(valid, "int32"), (-1,)),
            minlength=classes**2,
        )
        self.confusion.assign_add(
            ops.cast(ops.reshape(counts, (classes, classes)), "int64")
        )

    def result(self):
        return segmentation_metrics(self.confusion, self.class_names)

    def get_config(self):
        return {**super().get_config(), "class_names": self.class_names}


def segmentation_metrics(confusion, class_names):
    """Compute accuracy, mean IoU and IoU of each class.

    Args:
        confusion: pixel counts, (true class, predicted class).

    Returns:
        A dict with "accuracy", "mean_iou" and "iou_<name>" of each class, in [0, 1].
    """
    confusion = ops.cast(confusion, "float32")
    correct = ops.diagonal(confusion)
    union = ops.sum(confusion, axis=0) + ops.sum(confusion, axis=1) - correct
    iou = ops.where(union > 0, correct / ops.maximum(union, 1), float("nan"))
    present = ops.cast(union > 0, "float32")
    return {
        "accuracy": ops.sum(correct) / ops.sum(confusion),
        "mean_iou": ops.sum(ops.where(union > 0, iou, 0)) / ops.sum(present),
        **{f"iou_{name}": iou[index] for index, name in enumerate(class_names)},
    }
