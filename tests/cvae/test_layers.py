"""Building blocks of the networks: label embedding, FiLM, sampling, initializers."""

import keras
import numpy as np
import pytest

from cvae_tf.layers import (
    BoundLogVar,
    CosineTransform,
    FiLM,
    GaussianParameters,
    Sampling,
    check_multiple_of_4,
    residual_block,
    with_label_channel,
)


def test_label_channel_is_the_one_hot_vector_times_a_matrix():
    image = keras.Input((2, 3, 1))
    label = keras.Input((), dtype="int32")
    model = keras.Model([image, label], with_label_channel(image, label, 4))
    matrix = model.get_layer("label_embedding").get_weights()[0]
    assert matrix.shape == (4, 2 * 3)
    images, labels = np.random.rand(3, 2, 3, 1).astype("f"), np.array([3, 0, 3])
    outputs = model([images, labels]).numpy()
    np.testing.assert_array_equal(outputs[..., :1], images)
    rows = np.eye(4)[labels] @ matrix
    np.testing.assert_allclose(outputs[..., 1], rows.reshape(3, 2, 3), rtol=1e-6)


def test_samples_have_the_mean_and_standard_deviation_of_their_parameters():
    mean, log_var = np.full((20_000, 1), 3.0), np.full((20_000, 1), np.log(4))
    samples = Sampling(seed=1)(mean, log_var).numpy()
    assert samples.mean() == pytest.approx(3, abs=0.06)
    assert samples.std() == pytest.approx(2, abs=0.04)


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


def test_film_starts_as_the_identity_and_reaches_every_channel():
    features, embedding = np.random.rand(2, 3, 3, 4), np.random.rand(2, 5)
    layer = FiLM()
    np.testing.assert_allclose(layer(features, embedding), features, rtol=1e-6)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, np.array([1.0] * 4 + [10.0] * 4)])
    np.testing.assert_allclose(layer(features, embedding), 2 * features + 10, rtol=1e-6)


def test_label_changes_the_output_of_a_residual_block():
    x, embedding = keras.Input((4, 4, 3)), keras.Input((2,))
    model = keras.Model([x, embedding], residual_block(x, "block", embedding))
    kernel, bias = model.get_layer("block_label").get_weights()
    model.get_layer("block_label").set_weights([kernel + 1, bias])
    features = np.random.rand(1, 4, 4, 3)
    one, other = (model([features, np.full((1, 2), v)]).numpy() for v in (0.0, 1.0))
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize(
    "layer",
    [
        Sampling(7, name="named"),
        FiLM(name="named"),
        GaussianParameters(name="named"),
        BoundLogVar(3.0, name="named"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_restored_from_their_config(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and again.name == "named"
    for name in ("seed", "bound"):
        assert getattr(again, name, None) == getattr(layer, name, None)


def test_cosine_transform_of_a_patch_of_four_pixels():
    kernel = keras.ops.convert_to_numpy(CosineTransform(2.0)((2, 2, 1, 5), "float32"))
    expected = [
        [[1, 1], [1, 1]],  # the mean
        [[1, -1], [1, -1]],  # across
        [[1, 1], [-1, -1]],  # down
        [[1, -1], [-1, 1]],
        [[0, 0], [0, 0]],  # more filters than frequencies
    ]
    np.testing.assert_allclose(kernel[:, :, 0].transpose(2, 0, 1), expected, atol=1e-6)


def test_cosine_transform_of_colour_patches_is_orthonormal():
    kernel = keras.ops.convert_to_numpy(CosineTransform()((4, 4, 3, 12), "float32"))
    rows = kernel.reshape(48, 12)
    np.testing.assert_allclose(rows.T @ rows, np.eye(12), atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sublayers_have_the_precision_of_their_layer(policy):
    layer = FiLM(dtype=policy)
    layer(np.zeros((1, 2, 2, 3)), np.zeros((1, 4)))
    assert layer.scale_and_shift.dtype_policy.name == policy


@pytest.mark.parametrize("shape", [(30, 28, 1), (28, 30, 1), (None, 28, 1)])
def test_images_that_cannot_be_halved_twice_are_rejected(shape):
    check_multiple_of_4((4, 64, 3))
    with pytest.raises(ValueError, match=rf"multiples of 4.*Received: \({shape[0]}, "):
        check_multiple_of_4(shape)
