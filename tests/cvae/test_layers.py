"""The parts of the networks: labels reach every channel, draws follow from the seed."""

import keras
import numpy as np
import pytest

from cvae_tf.layers import (
    BoundLogVar,
    CosineTransform,
    FiLM,
    GaussianParameters,
    Sampling,
    residual,
    with_label_channel,
)


def test_label_channel_is_the_one_hot_vector_times_a_matrix():
    image = keras.Input((2, 3, 1))
    label = keras.Input((), dtype="int32")
    model = keras.Model([image, label], with_label_channel(image, label, 4))
    matrix = model.get_layer("label_embedding").get_weights()[0]
    assert matrix.shape == (4, 2 * 3)
    pictures, labels = np.random.rand(3, 2, 3, 1).astype("f"), np.array([3, 0, 3])
    beside = model([pictures, labels]).numpy()
    np.testing.assert_array_equal(beside[..., :1], pictures)
    rows = np.eye(4)[labels] @ matrix
    np.testing.assert_allclose(beside[..., 1], rows.reshape(3, 2, 3), rtol=1e-6)


def test_sample_has_the_mean_and_the_deviation_it_is_asked_for():
    mean, log_var = np.full((20_000, 1), 3.0), np.full((20_000, 1), np.log(4))
    drawn = Sampling(seed=1)(mean, log_var).numpy()
    assert drawn.mean() == pytest.approx(3, abs=0.06)
    assert drawn.std() == pytest.approx(2, abs=0.04)


def test_samples_follow_from_the_seed_and_differ_from_call_to_call():
    zeros = np.zeros((2, 5), "float32")
    one, same, other = Sampling(1), Sampling(1), Sampling(2)
    first = one(zeros, zeros).numpy()
    np.testing.assert_array_equal(first, same(zeros, zeros).numpy())
    assert (first != one(zeros, zeros).numpy()).all()
    assert (first != other(zeros, zeros).numpy()).all()


def test_variances_of_posteriors_are_above_0_and_at_most_1_at_any_input():
    extremes = np.array([[0.5, -1e30], [0.5, -200], [0.5, 200], [0.5, 1e30]], "float32")
    mean, log_var = GaussianParameters()(extremes)
    assert (mean.numpy() == 0.5).all()
    np.testing.assert_allclose(log_var.numpy()[:, 0], [-12, -12, 0, 0], atol=1e-3)


def test_scale_and_shift_starts_as_nothing_and_reaches_every_channel():
    features, embedding = np.random.rand(2, 3, 3, 4), np.random.rand(2, 5)
    layer = FiLM()
    np.testing.assert_allclose(layer(features, embedding), features, rtol=1e-6)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, np.array([1.0] * 4 + [10.0] * 4)])
    np.testing.assert_allclose(layer(features, embedding), 2 * features + 10, rtol=1e-6)


def test_label_changes_what_a_residual_block_gives():
    x, embedding = keras.Input((4, 4, 3)), keras.Input((2,))
    model = keras.Model([x, embedding], residual(x, "block", embedding))
    kernel, bias = model.get_layer("block_label").get_weights()
    model.get_layer("block_label").set_weights([kernel + 1, bias])
    features = np.random.rand(1, 4, 4, 3)
    one, other = (model([features, np.full((1, 2), v)]).numpy() for v in (0.0, 1.0))
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize(
    "layer",
    [
        Sampling(7, name="mine"),
        FiLM(name="mine"),
        GaussianParameters(name="mine"),
        BoundLogVar(3.0, name="mine"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_come_back_from_their_config(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and again.name == "mine"
    for name in ("seed", "bound"):
        assert getattr(again, name, None) == getattr(layer, name, None)


def test_cosine_transform_of_a_patch_of_four_pixels():
    kernel = keras.ops.convert_to_numpy(CosineTransform(2.0)((2, 2, 1, 5), "float32"))
    wanted = [
        [[1, 1], [1, 1]],  # the mean
        [[1, -1], [1, -1]],  # across
        [[1, 1], [-1, -1]],  # down
        [[1, -1], [-1, 1]],
        [[0, 0], [0, 0]],  # more than there are
    ]
    np.testing.assert_allclose(kernel[:, :, 0].transpose(2, 0, 1), wanted, atol=1e-6)


def test_cosine_transform_keeps_lengths_in_colour_too():
    kernel = keras.ops.convert_to_numpy(CosineTransform()((4, 4, 3, 12), "float32"))
    rows = kernel.reshape(48, 12)
    np.testing.assert_allclose(rows.T @ rows, np.eye(12), atol=1e-6)
