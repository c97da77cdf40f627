"""How masks meet logits: class ids, the ignored label, shapes that must agree."""

from keras import ops

IGNORE = 255  # the label of pixels that count in no loss, metric or report


def class_ids(masks, logits_shape):
    """Bring masks to class ids, and refuse those that do not belong to the logits.

    Args:
        masks: (batch, height, width) or (batch, height, width, 1) with class ids, or
            (batch, height, width, classes) one-hot.
        logits_shape: (batch, height, width, classes); batch, height and width may be
            None.

    Returns:
        Class ids, (batch, height, width), int32.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    masks = ops.convert_to_tensor(masks)
    shape, expected = tuple(masks.shape), tuple(logits_shape)
    if len(expected) != 4 or expected[-1] is None or expected[-1] < 2:
        raise ValueError(
            "Expected logits of shape (batch, height, width, classes) with two classes "
            f"or more. Received: logits.shape={expected}"
        )
    fits = len(shape) in (3, 4) and all(
        given is None or wanted is None or given == wanted
        for given, wanted in zip(shape[:3], expected[:3], strict=True)
    )
    if not fits or shape[3:] not in ((), (1,), (expected[-1],)):
        raise ValueError(
            "Expected masks of shape (batch, height, width), with or without a last "
            "axis of 1, or one-hot (batch, height, width, classes), where the logits "
            f"are {expected}. Received: masks.shape={shape}"
        )
    if shape[3:] == (expected[-1],):
        return ops.argmax(masks, axis=-1)
    return ops.cast(masks if len(shape) == 3 else ops.squeeze(masks, -1), "int32")


def one_hot_masks(masks, logits_shape):
    """Turn masks into one-hot targets.

    Args:
        masks: as in `class_ids`.
        logits_shape: (batch, height, width, classes).

    Returns:
        The targets, (batch, height, width, classes), float32, zero where ignored; and
        1 where a pixel counts and 0 where not, (batch, height, width, 1), float32.

    Raises:
        ValueError: as `class_ids`; and for a class id out of range where values can be
            seen. In a compiled function they cannot: there the targets become NaN.
    """
    ids, classes = class_ids(masks, logits_shape), logits_shape[-1]
    ignored = ids == IGNORE
    known = ops.all(ignored | ((ids >= 0) & (ids < classes)))
    if not _is_true_or_unknown(known):
        raise ValueError(
            f"Expected masks with class ids 0 to {classes - 1}, or {IGNORE} for "
            f"ignored pixels. Received: ids from {int(ops.min(ids))} to "
            f"{int(ops.max(ids))}"
        )
    counted = ops.expand_dims(ops.cast(ops.logical_not(ignored), "float32"), -1)
    targets = ops.one_hot(ops.where(ignored, 0, ids), classes) * counted
    return ops.where(known, targets, float("nan")), counted


def _is_true_or_unknown(truth):
    try:
        return bool(truth)
    except TypeError:  # inside a compiled function a tensor has no value yet
        return True
