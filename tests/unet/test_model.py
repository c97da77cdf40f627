"""The UNet in all its variants: shape, gradients, saving, sizes, precisions."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS
from unet_tf.losses import LOSSES
from unet_tf.model import build_unet

ASSIGNMENT = list(itertools.product(DOWN_BLOCKS, UP_BLOCKS))


def small_unet(
    image_shape=(16, 16, 3), classes=3, down="strided", up="upsample", **more
):
    settings = {"filters": 2, "depth": 2, **more}
    return build_unet(
        image_shape, classes, down=DOWN_BLOCKS[down], up=UP_BLOCKS[up], **settings
    )


def loss_and_gradients(model, **call):
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), "float32")
    masks = np.random.default_rng(1).integers(0, 3, (2, *model.input_shape[1:3]))

    def step():
        with tf.GradientTape() as tape:
            loss = LOSSES["dice"]()(masks, model(images, training=True))
        return loss, tape.gradient(loss, model.trainable_variables)

    return tf.function(step, **call)() if call else step()


@pytest.mark.parametrize(("down", "up"), ASSIGNMENT)
def test_every_weight_of_every_variant_learns_and_is_saved(down, up, tmp_path):
    model = small_unet(down=down, up=up, dropout=0.2)
    assert model.output_shape == (None, 16, 16, 3)
    assert model.outputs[0].dtype == "float32"
    _, gradients = loss_and_gradients(model)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path
        assert np.any(gradient), variable.path

    model.save(tmp_path / "unet.keras")
    loaded = keras.models.load_model(tmp_path / "unet.keras")
    images = np.random.rand(2, 16, 16, 3)
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize(
    ("down", "up", "size"),
    [
        *((*pair, (37, 37)) for pair in ASSIGNMENT),
        *((*ASSIGNMENT[0], size) for size in ((16, 16), (101, 101), (128, 96))),
    ],
)
def test_images_of_any_size_come_back_at_their_own_size(down, up, size):
    images = np.random.rand(1, *size, 3).astype("float32")
    fixed = small_unet((*size, 3), down=down, up=up, depth=4)
    assert fixed.output_shape == (None, *size, 3)
    unknown = small_unet((None, None, 3), down=down, up=up, depth=4)
    unknown.set_weights(fixed.get_weights())
    assert unknown(images).shape == (1, *size, 3)
    np.testing.assert_allclose(unknown(images), fixed(images), atol=1e-5)


def test_padding_is_cropped_where_it_was_added():
    # Without training, shifting the image by a whole cell shifts the logits alike.
    model = small_unet((None, None, 3), down="maxpool", depth=2)
    image = np.random.rand(1, 13, 13, 3).astype("float32")
    inside = np.zeros((1, 16, 16, 3), "float32")
    inside[:, 1:14, 1:14] = image
    np.testing.assert_allclose(
        model(image), model(inside)[:, 1:14, 1:14], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("classes", [2, 5, 21])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("channels", [1, 4])
def test_any_depth_class_count_and_channel_count(classes, depth, channels):
    model = small_unet((16, 16, channels), classes, depth=depth)
    assert model.output_shape == (None, 16, 16, classes)


def test_default_counts_of_parameters():
    counts = {
        pair: build_unet(
            down=DOWN_BLOCKS[pair[0]], up=UP_BLOCKS[pair[1]]
        ).count_params()
        for pair in ASSIGNMENT
    }
    assert counts["maxpool", "transpose"] == counts["maxpool", "upsample"] == 2_163_875
    assert counts["strided", "transpose"] == counts["strided", "upsample"] == 2_360_675


def test_every_layer_with_weights_is_named_by_its_place():
    model = small_unet(depth=3)
    places = ("encoder", "down", "bottom", "up", "decoder", "logits")
    for layer in model.layers:
        if layer.weights:
            assert layer.name.startswith(places), layer.name


def test_batch_norm_trains():
    # The article called it with training=False, so that its averages never moved.
    model = small_unet()
    model.compile("sgd", LOSSES["dice"]())
    images, masks = np.random.rand(4, 16, 16, 3), np.zeros((4, 16, 16))
    averages = [v for v in model.non_trainable_variables if "moving" in v.path]
    before = [np.array(average) for average in averages]
    model.fit(images, masks, verbose=0)
    assert averages
    for old, new in zip(before, averages, strict=True):
        assert (old != np.array(new)).any(), new.path


@pytest.mark.parametrize(
    ("down", "up", "policy", "jit"),
    [
        pytest.param(*pair, policy, jit, marks=[pytest.mark.slow] if jit else [])
        for pair in ASSIGNMENT
        for policy in ("float32", "mixed_float16", "mixed_bfloat16")
        for jit in (False, True)
        if jit or policy != "float32"  # steps above
    ],
)
def test_every_variant_trains_in_every_precision(down, up, policy, jit):
    keras.config.set_dtype_policy(policy)
    model = small_unet(down=down, up=up)
    assert model.outputs[0].dtype == "float32"
    loss, gradients = loss_and_gradients(model, **{"jit_compile": True} if jit else {})
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def policies_of(model):
    _, *layers = model._flatten_layers()  # the model itself takes the global one
    return [layer.dtype_policy.name for layer in layers if layer.weights]


PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16")


@pytest.mark.parametrize(
    ("down", "up"),
    [
        pytest.param("maxpool", "transpose", marks=pytest.mark.slow),
        ("strided", "upsample"),
    ],
)
@pytest.mark.parametrize("built", PRECISIONS)
def test_saved_model_loads_under_every_precision(down, up, built, tmp_path):
    # Sublayers took the global precision, not their layer's, and loading failed.
    keras.config.set_dtype_policy(built)
    model = small_unet(down=down, up=up)
    images = np.random.default_rng(0).random((2, 16, 16, 3), "float32")
    expected = model(images)
    model.save(tmp_path / "unet.keras")
    for policy in PRECISIONS:
        keras.config.set_dtype_policy(policy)
        loaded = keras.models.load_model(tmp_path / "unet.keras")
        np.testing.assert_array_equal(loaded(images), expected)
        assert policies_of(loaded) == policies_of(model)


def test_compiled_by_xla_a_variant_gives_the_same_loss():
    model = small_unet()
    plain, _ = loss_and_gradients(model)
    compiled, _ = loss_and_gradients(model, jit_compile=True)
    assert float(compiled) == pytest.approx(float(plain), rel=1e-4)


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"filters": 0}, {"depth": 0}], ids=str
)
def test_wrong_numbers_are_rejected_by_name(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=f"{name} >= .*{name}={value}"):
        build_unet(**wrong)


def test_custom_block_needs_no_change_of_the_model():
    def average_down(x, name):
        return keras.layers.AveragePooling2D(2, name=f"{name}_average")(x)

    model = build_unet((16, 16, 3), filters=2, depth=2, down=average_down)
    assert model.get_layer("down0_average").output.shape == (None, 8, 8, 2)
