"""Kernels are updated by an orthogonalised momentum, other variables as by AdamW."""

import keras
import numpy as np
import pytest

from train_tf.optimizers import ConvMuon
from unet_tf.blocks import strided_down
from unet_tf.model import build_unet


def test_kernel_steps_along_an_orthogonal_matrix():
    kernel = keras.Variable(np.zeros((3, 3, 4, 6), "float32"), name="kernel")
    optimizer = ConvMuon(1.0, weight_decay=None, momentum=0.0)
    optimizer.build([kernel])
    gradient = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("float32")
    optimizer.apply([gradient])
    step = np.array(kernel).reshape(36, 6) / (0.2 * 36**0.5)
    # The iteration of the paper ends near, not at, singular values of one.
    np.testing.assert_allclose(np.linalg.svd(step)[1], 1, atol=0.35)


@pytest.mark.parametrize("shape", [(36, 6), (6, 36), (8, 8)], ids=str)
@pytest.mark.parametrize("smallest", [0.5, 1e-4], ids=str)
def test_orthogonal_matrix_is_the_one_that_keras_finds(shape, smallest):
    matrix = np.random.default_rng(0).normal(size=shape)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = np.geomspace(1, smallest, len(values))
    matrix = keras.ops.convert_to_tensor(left * values @ right, "float32")
    ours, theirs = (
        kind(0.1).zeropower_via_newtonschulz5(matrix, 5)
        for kind in (ConvMuon, keras.optimizers.Muon)
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_everything_but_kernels_steps_as_adamw_does():
    values, gradient = np.ones(5, "float32"), np.linspace(-1, 1, 5, dtype="float32")
    ours, theirs = keras.Variable(values), keras.Variable(values)
    ConvMuon(0.01, adam_lr_ratio=1, adam_weight_decay=0.1).apply([gradient], [ours])
    keras.optimizers.AdamW(0.01, weight_decay=0.1).apply([gradient], [theirs])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_last_layer_is_left_to_adamw():
    model = build_unet((16, 16, 3), filters=2, depth=1, down=strided_down)
    optimizer = ConvMuon()
    optimizer.build(model.trainable_variables)
    by_adamw = {
        v.path
        for v, slot in zip(
            model.trainable_variables, optimizer.adam_velocities, strict=True
        )
        if slot is not None
    }
    assert "logits/kernel" in by_adamw
    assert "down0_strided_conv/kernel" not in by_adamw
    strided = next(
        v for v in model.trainable_variables if v.path == "down0_strided_conv/kernel"
    )
    assert ConvMuon(exclude_layers=["strided"])._should_use_adamw(strided)


@pytest.mark.parametrize(
    "rate", [0.01, keras.optimizers.schedules.CosineDecay(0.01, 9)]
)
def test_muon_survives_its_config(rate):
    again = keras.optimizers.deserialize(keras.optimizers.serialize(ConvMuon(rate)))
    assert isinstance(again, ConvMuon)
    assert again.adam_lr_ratio == ConvMuon().adam_lr_ratio
    assert float(again.learning_rate) == pytest.approx(0.01)
