"""Masks for losses and metrics: checked, as class ids or one-hot."""

from keras import ops

IGNORE = 255  # label of the pixels that losses and metrics ignore


def class_ids(masks, logits_shape):
    """Convert masks to class ids, and check them.

    Args:
        masks: (batch, height, width) or (batch, height, width, 1) with class ids, 255
            where a pixel is ignored; or one-hot, (batch, height, width, classes).
        logits_shape: (batch, height, width, classes); batch, height and width may be
            None.

    Returns:
        Class ids, (batch, height, width), int32; and whether all of them are valid, a
        boolean scalar.

    Raises:
        ValueError: if the shapes do not match. Outside compiled functions, also for a
            value that is no class id, and for a row that is not one-hot.
    """
    masks = ops.convert_to_tensor(masks)
    _check_shapes(tuple(masks.shape), tuple(logits_shape))
    classes = logits_shape[-1]
    if len(masks.shape) == 4 and masks.shape[-1] == classes:
        expected = "one-hot masks with a single 1 per pixel and 0 elsewhere"
        masks = ops.cast(masks, "float32")
        ids = ops.argmax(masks, axis=-1)
        fits = ops.all(masks == ops.one_hot(ids, classes), axis=-1)
    else:
        expected = (
            f"masks with class ids 0 to {classes - 1}, or {IGNORE} for ignored pixels"
        )
        masks = masks if len(masks.shape) == 3 else ops.squeeze(masks, -1)
        ids = ops.cast(masks, "int32")
        in_range = (ids == IGNORE) | ((ids >= 0) & (ids < classes))
        fits = in_range & (ops.cast(ids, masks.dtype) == masks)  # no fractions
    all_valid = ops.all(fits)
    if not _is_true_or_unknown(all_valid):
        wrong = ops.convert_to_numpy(masks)[~ops.convert_to_numpy(fits)]
        raise ValueError(f"Expected {expected}. Received: {wrong[0]!s}")
    return ids, all_valid


def one_hot_masks(masks, logits_shape):
    """Convert masks to one-hot targets.

    Args:
        masks, logits_shape: see `class_ids`, also for errors.

    Returns:
        The targets, (batch, height, width, classes), float32, 0 where ignored; and
        `valid`, (batch, height, width, 1), float32, 0 where ignored, else 1. In a
        compiled function, which cannot raise, invalid masks make all targets NaN.
    """
    ids, all_valid = class_ids(masks, logits_shape)
    ignored = ids == IGNORE
    valid = ops.expand_dims(ops.cast(ops.logical_not(ignored), "float32"), -1)
    targets = ops.one_hot(ops.where(ignored, 0, ids), logits_shape[-1]) * valid
    return ops.where(all_valid, targets, float("nan")), valid


def _check_shapes(masks, logits):
    if len(logits) != 4 or logits[-1] is None or logits[-1] < 2:
        raise ValueError(
            "Expected logits of shape (batch, height, width, classes) with two classes "
            f"or more. Received: logits.shape={logits}"
        )
    same_size = len(masks) in (3, 4) and all(
        None in (a, b) or a == b for a, b in zip(masks[:3], logits[:3], strict=True)
    )
    if not same_size or masks[3:] not in ((), (1,), (logits[-1],)):
        raise ValueError(
            "Expected masks of shape (batch, height, width), with or without a last "
            "axis of 1, or one-hot (batch, height, width, classes), where the logits "
            f"are {logits}. Received: masks.shape={masks}"
        )


def _is_true_or_unknown(scalar):
    try:
        return bool(scalar)
    except TypeError:  # inside a compiled function a tensor has no value yet
        return True
