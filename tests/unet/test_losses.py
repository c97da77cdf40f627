"""Losses: values worked by hand, no dependence on batches, wrong masks rejected."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from unet_tf.losses import LOSSES, Crossentropy, Dice
from unet_tf.model import build_unet

CONFIDENT = 100.0
LN2, LN_4_3 = math.log(2), math.log(4 / 3)


def logits_of(ids, classes=2):
    """Logits that give certainty to class ids."""
    return CONFIDENT * np.eye(classes, dtype="float32")[np.asarray(ids)]


def random_batch(seed, count=5, classes=3):
    draw = np.random.default_rng(seed)
    masks = draw.choice([*range(classes), 255], (count, 4, 6)).astype("uint8")
    return masks, draw.normal(0, 3, (count, 4, 6, classes)).astype("float32")


# One pixel of class 1 with logits (0, ln 3): softmax (1/4, 3/4), sigmoid (1/2, 3/4).
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bce", (LN2 + LN_4_3) / 2),
        ("ce", LN_4_3),
        ("dice", 1 - (1 / 1.25 + 1.5 / 1.75) / 2),
        ("bce_dice", (LN2 + LN_4_3) / 2 + 1 - (1 / 1.25 + 1.5 / 1.75) / 2),
    ],
)
def test_loss_of_one_pixel_is_as_worked_by_hand(name, expected):
    loss = LOSSES[name]()(np.ones((1, 1, 1)), np.array([[[[0, math.log(3)]]]]))
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_dice_is_computed_per_image_and_class():
    # Image 1: all right, class 0 absent from both. Image 2: class 0 has 3 of 4 pixels
    # and is predicted on all, 6/7; class 1 has one pixel and is predicted nowhere, 0.
    masks = [[[1, 1], [1, 1]], [[0, 0], [0, 1]]]
    logits = logits_of([[[1, 1], [1, 1]], [[0, 0], [0, 0]]])
    each = Dice(reduction=None)(masks, logits)
    np.testing.assert_allclose(each, [0, 1 - 3 / 7], atol=1e-6)
    assert float(Dice()(masks, logits)) == pytest.approx(2 / 7)


def test_dice_example_of_the_docstring_holds():
    loss = Dice()([[[0, 1], [1, 1]]], logits_of([[[0, 1], [1, 0]]]))
    assert float(loss) == pytest.approx(1 - (2 / 3 + 4 / 5) / 2)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_loss_of_a_batch_is_the_mean_over_its_images(name, seed):
    masks, logits = random_batch(seed)
    loss = LOSSES[name]()
    alone = [
        float(loss(masks[row : row + 1], logits[row : row + 1]))
        for row in range(len(masks))
    ]
    assert float(loss(masks, logits)) == pytest.approx(np.mean(alone), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_masks_of_every_form_give_the_same_loss(name):
    draw = np.random.default_rng(0)
    masks, logits = draw.integers(0, 3, (2, 4, 6)), draw.normal(size=(2, 4, 6, 3))
    loss = LOSSES[name]()
    expected = float(loss(masks, logits))
    for form in (masks[..., None], masks.astype("uint8"), np.eye(3)[masks]):
        assert float(loss(form, logits)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_change_neither_loss_nor_gradient(name):
    import tensorflow as tf

    masks, logits = random_batch(1)
    with tf.GradientTape() as tape:
        variable = tf.Variable(logits)
        value = LOSSES[name]()(masks, variable)
    gradient = tape.gradient(value, variable).numpy()
    assert not gradient[masks == 255].any()
    logits[masks == 255] = 7
    assert float(LOSSES[name]()(masks, logits)) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_a_wholly_ignored_image_is_finite(name):
    loss = LOSSES[name]()(np.full((1, 2, 2), 255), np.zeros((1, 2, 2, 3)))
    assert math.isfinite(loss)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [-50, -8, 0, 8, 50])
def test_loss_is_finite_and_dice_stays_within_bounds(name, size):
    masks, logits = random_batch(2)
    value = float(LOSSES[name]()(masks, np.full_like(logits, size)))
    assert math.isfinite(value) and value >= 0
    if name == "dice":
        assert value <= 1


def test_confident_and_correct_logits_have_no_loss():
    masks = np.random.default_rng(0).integers(0, 3, (2, 4, 4))
    for loss in LOSSES.values():
        assert float(loss()(masks, logits_of(masks, 3) - CONFIDENT / 2)) < 1e-6


def test_dice_pushes_an_absent_class_down_with_a_finite_gradient():
    import tensorflow as tf

    for confidence in (-50.0, 0.0, 50.0):
        logits = tf.Variable(tf.constant([0.0, confidence]) * tf.ones((1, 8, 8, 2)))
        with tf.GradientTape() as tape:
            loss = Dice()(np.zeros((1, 8, 8)), logits)
        gradient = tape.gradient(loss, logits).numpy()[..., 1]
        assert np.isfinite(gradient).all()
        assert (gradient >= 0).all()
    logits = tf.Variable(tf.zeros((1, 8, 8, 2)))
    with tf.GradientTape() as tape:
        loss = Dice()(np.zeros((1, 8, 8)), logits)
    assert (tape.gradient(loss, logits).numpy()[..., 1] > 0).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "shape", [(2, 8, 8, 3), (2, 8, 7), (2, 8, 8, 2, 1), (8, 8), (3, 8, 8, 1)]
)
def test_shapes_that_do_not_match_are_named(name, shape):
    with pytest.raises(ValueError, match="masks of shape") as error:
        LOSSES[name]()(np.zeros(shape), np.zeros((2, 8, 8, 2)))
    assert str(shape) in str(error.value) and "(2, 8, 8, 2)" in str(error.value)


@pytest.mark.parametrize("name", LOSSES)
def test_logits_of_a_single_class_are_rejected(name):
    with pytest.raises(ValueError, match="two classes or more"):
        LOSSES[name]()(np.ones((2, 8, 8, 3)), np.full((2, 8, 8, 1), 0.9))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrong", [3, 7, 254, -1])
def test_class_ids_out_of_range_are_rejected_by_name(name, wrong):
    masks = np.zeros((1, 2, 2), int)
    masks[0, 0, 1] = wrong
    with pytest.raises(ValueError, match=f"class ids 0 to 2.*{wrong}"):
        LOSSES[name]()(masks, np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrong", [0.7, -0.3, float("nan")])
def test_fractional_class_ids_are_rejected(name, wrong):
    masks = np.array([[[0, wrong], [1, 2]]])
    with pytest.raises(ValueError, match=f"class ids 0 to 2, or 255.*{wrong}$"):
        LOSSES[name]()(masks, np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "row", [(0, 0, 0), (0.2, 0.5, 0.3), (1, 1, 0), (0, 2, 0), (0, 255, 0)]
)
def test_rows_that_are_not_one_hot_are_rejected(name, row):
    # They counted as class 0, or as the largest.
    masks = np.eye(3)[np.zeros((1, 2, 2), int)]
    masks[0, 1, 0] = row
    with pytest.raises(ValueError, match="one-hot masks with a single 1.*Received: "):
        LOSSES[name]()(masks, np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("name", LOSSES)
def test_invalid_masks_in_a_compiled_function_give_nan(name):
    import tensorflow as tf

    loss = tf.function(LOSSES[name]())
    assert math.isnan(loss(tf.constant([[[0, 7]]]), tf.zeros((1, 1, 2, 3))))
    assert math.isnan(loss(tf.constant([[[0, 0.7]]]), tf.zeros((1, 1, 2, 3))))
    assert math.isnan(loss(tf.zeros((1, 1, 2, 3)), tf.zeros((1, 1, 2, 3))))
    assert math.isfinite(loss(tf.constant([[[0, 2]]]), tf.zeros((1, 1, 2, 3))))


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_saved_and_loaded_with_its_model(name, tmp_path):
    model = build_unet((8, 8, 3), filters=2, depth=1)
    model.compile("sgd", LOSSES[name]())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images, masks = np.random.rand(2, 8, 8, 3), np.ones((2, 8, 8))
    expected = model.evaluate(images, masks, verbose=0)
    assert loaded.evaluate(images, masks, verbose=0) == pytest.approx(expected)


def test_losses_are_what_their_names_say():
    masks, logits = random_batch(3)
    both = float(LOSSES["bce"]()(masks, logits)) + float(Dice()(masks, logits))
    assert float(LOSSES["bce_dice"]()(masks, logits)) == pytest.approx(both, rel=1e-6)
    ids, logits = np.array([[[0, 1, 2]]]), np.zeros((1, 1, 3, 3), "float32")
    keras_value = ops.mean(
        keras.losses.sparse_categorical_crossentropy(ids, logits, True)
    )
    assert float(Crossentropy()(ids, logits)) == pytest.approx(float(keras_value))
