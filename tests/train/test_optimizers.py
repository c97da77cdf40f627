"""`FusedAdam` gives the updates of Keras's Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from train_tf.optimizers import ConvMuon, FusedAdam

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(4, 5)).astype("float32")
GRADIENTS = [RNG.normal(size=(4, 5)).astype("float32") * 10**k for k in (-9, 0, 3)]


def after_steps(optimizer):
    variable = keras.Variable(VALUES)
    for gradient in GRADIENTS:
        optimizer.apply([gradient], [variable])
    return np.array(variable)


@pytest.mark.parametrize(
    "settings",
    [{}, {"beta_1": 0.5, "epsilon": 0.1}, {"global_clipnorm": 1.0, "use_ema": True}],
    ids=str,
)
def test_adam_steps_as_that_of_keras(settings):
    ours, theirs = (
        after_steps(kind(0.01, **settings))
        for kind in (FusedAdam, keras.optimizers.Adam)
    )
    assert np.abs(ours - VALUES).min() > 1e-4
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_first_step_is_the_learning_rate_against_the_gradients_sign():
    variable = keras.Variable([1.0, 1.0])
    FusedAdam(0.01).apply([np.array([3.0, -0.5], "float32")], [variable])
    np.testing.assert_allclose(variable, [0.99, 1.01], rtol=1e-6)


def test_float16_gradients_are_taken():
    variable = keras.Variable([1.0])
    FusedAdam(0.01).apply([tf.constant([2.0], "float16")], [variable])
    np.testing.assert_allclose(variable, [0.99], rtol=1e-6)


@pytest.mark.parametrize("kind", [FusedAdam, ConvMuon])
def test_update_costs_one_operation_for_each_variable(kind):
    variable = keras.Variable(VALUES[0])
    optimizer = kind(0.01)
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    graph = step.get_concrete_function(tf.TensorSpec((5,))).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == 1 and "Sqrt" not in kinds


def test_adam_survives_its_config():
    again = keras.optimizers.deserialize(keras.optimizers.serialize(FusedAdam(0.01)))
    assert isinstance(again, FusedAdam)


def test_amsgrad_is_rejected_and_not_left_out():
    with pytest.raises(ValueError, match="no amsgrad"):
        FusedAdam(0.01, amsgrad=True)
