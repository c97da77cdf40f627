"""`FusedBatchNormalization` equals Keras's layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from train_tf.layers import FusedBatchNormalization

FEATURES = np.random.default_rng(0).normal(3, 2, (4, 5, 6, 7)).astype("float32")
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2, (4, 7)).astype("float32")


def norm(kind, features=FEATURES, **settings):
    layer = kind(momentum=0.8, **settings)
    layer.build(features.shape)
    layer.set_weights(WEIGHTS[:, : features.shape[-1]])
    return layer


def trained(layer, features=FEATURES):
    """Outputs, gradients and moving averages after one training call."""
    features = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = tf.cast(layer(features, training=True), tf.float32)
        loss = tf.reduce_sum(tf.sin(outputs) * outputs**2)
    gradients = tape.gradient(loss, [features, *layer.trainable_variables])
    return [outputs, *gradients, *layer.non_trainable_variables]


def assert_same(kind_features, **tolerance):
    ours, theirs = (
        trained(norm(kind, kind_features), kind_features)
        for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    for own, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, expected, **tolerance)


def test_training_gives_what_keras_gives():
    assert_same(FEATURES, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_norm_is_one_operation(training):
    layer = norm(FusedBatchNormalization)
    call = tf.function(lambda x: layer(x, training=training))
    graph = call.get_concrete_function(tf.TensorSpec(FEATURES.shape)).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("FusedBatchNormV3") == 1 and "Rsqrt" not in kinds


def test_single_pixel_has_variance_0():
    assert_same(FEATURES[:1, :1, :1], rtol=1e-5, atol=1e-5)


def test_features_of_other_ranks_are_left_to_keras():
    assert_same(FEATURES[:, 0, 0], rtol=1e-5, atol=1e-5)


def test_training_in_bfloat16_has_its_statistics_in_float32():
    ours = norm(FusedBatchNormalization, dtype="mixed_bfloat16")
    theirs = norm(keras.layers.BatchNormalization, dtype="mixed_bfloat16")
    low = tf.cast(FEATURES, tf.bfloat16)
    assert ours(low, training=True).dtype == theirs(low, training=True).dtype
    for own, expected in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-3)


@pytest.mark.parametrize("frozen", [True, False])
def test_moving_statistics_are_used_outside_training(frozen):
    ours, theirs = norm(FusedBatchNormalization), norm(keras.layers.BatchNormalization)
    ours.trainable = theirs.trainable = not frozen
    expected = theirs(FEATURES, training=frozen)
    given = ours(FEATURES, training=frozen)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ours.moving_mean, WEIGHTS[2])


def test_saved_norm_comes_back(tmp_path):
    model = keras.Sequential(
        [keras.Input(FEATURES.shape[1:]), FusedBatchNormalization()]
    )
    model.save(tmp_path / "norm.keras")
    again = keras.saving.load_model(tmp_path / "norm.keras")
    assert type(again.layers[0]) is FusedBatchNormalization
    np.testing.assert_array_equal(model(FEATURES), again(FEATURES))


@pytest.mark.parametrize("without", ["scale", "center"])
def test_norm_may_go_without_scale_or_centre(without):
    ours, theirs = (
        kind(**{without: False})(FEATURES, training=True)
        for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
