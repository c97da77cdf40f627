"""Segmentation losses: binary cross-entropy, Dice, cross-entropy, and a sum.

Each is computed per image and then averaged over the images: the loss of an image does
not depend on the others in its batch. Pixels labelled 255 are ignored.
"""

import keras
from keras import ops

from unet_tf.masks import one_hot_masks


class PerImageLoss(keras.losses.Loss):
    """Base class: a loss of each image, averaged over the batch.

    Call it with

        masks: class ids, (batch, height, width) or (batch, height, width, 1), 255 where
            a pixel is ignored; or one-hot, (batch, height, width, classes).
        logits: any real numbers, (batch, height, width, classes).

    Raises:
        ValueError: if the shapes do not match, or masks hold anything but class ids or
            one-hot rows. In a compiled function such masks make the loss NaN instead.
    """

    def call(self, masks, logits):
        logits = ops.cast(logits, "float32")
        targets, valid = one_hot_masks(masks, logits.shape)
        return self.loss_per_image(targets, logits, valid)

    def loss_per_image(self, targets, logits, valid):
        """The loss of each image, (batch,).

        Args:
            targets: one-hot masks, (batch, height, width, classes), 0 where ignored.
            logits: (batch, height, width, classes), float32.
            valid: 0 where a pixel is ignored, else 1, (batch, height, width, 1).
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable("unet_tf")
class BinaryCrossentropy(PerImageLoss):
    """Sigmoid cross-entropy of each class, averaged over classes and pixels."""

    def loss_per_image(self, targets, logits, valid):
        entropy = ops.binary_crossentropy(targets, logits, from_logits=True)
        return _mean_where(valid, ops.mean(entropy, axis=-1, keepdims=True))


@keras.saving.register_keras_serializable("unet_tf")
class Crossentropy(PerImageLoss):
    """Softmax cross-entropy, averaged over pixels."""

    def loss_per_image(self, targets, logits, valid):
        entropy = -ops.sum(targets * ops.log_softmax(logits), axis=-1, keepdims=True)
        return _mean_where(valid, entropy)


@keras.saving.register_keras_serializable("unet_tf")
class Dice(PerImageLoss):
    """One minus the soft Dice coefficient, averaged over the classes of each image.

    With p the softmax and t the truth of one class in one image,

        dice = 2 sum(p t) / (sum(p) + sum(t)),

    the V-Net loss (Milletari, Navab, Ahmadi 2016) without squares. For a class absent
    from an image, 1 is added to numerator and denominator: dice = 1 / (1 + sum(p)).
    That is 1 if nothing is predicted, has a finite gradient, penalises false positives,
    and leaves present classes unsmoothed.

    Example:
        >>> masks = [[[0, 1], [1, 1]]]
        >>> logits = 100.0 * keras.ops.one_hot([[[0, 1], [1, 0]]], 2)
        >>> Dice()(masks, logits)  # 1 - (2/3 + 4/5) / 2
        0.26666667
    """

    def loss_per_image(self, targets, logits, valid):
        probabilities = ops.softmax(logits) * valid
        overlap = ops.sum(probabilities * targets, axis=(1, 2))
        predicted = ops.sum(probabilities, axis=(1, 2))
        true = ops.sum(targets, axis=(1, 2))
        absent = ops.cast(true == 0, "float32")
        dice = (2 * overlap + absent) / (predicted + true + absent)
        return ops.mean(1 - dice, axis=-1)


@keras.saving.register_keras_serializable("unet_tf")
class BinaryCrossentropyDice(PerImageLoss):
    """The sum of `BinaryCrossentropy` and `Dice`."""

    def loss_per_image(self, targets, logits, valid):
        return BinaryCrossentropy().loss_per_image(
            targets, logits, valid
        ) + Dice().loss_per_image(targets, logits, valid)


def _mean_where(valid, values):
    """Mean over the valid pixels of each image; 0 if there are none."""
    total = ops.sum(values * valid, axis=(1, 2, 3))
    return total / ops.maximum(ops.sum(valid, axis=(1, 2, 3)), 1)


LOSSES = {
    "bce": BinaryCrossentropy,
    "dice": Dice,
    "ce": Crossentropy,
    "bce_dice": BinaryCrossentropyDice,
}
