"""Likelihoods and KL: exact values, sums over pixels, finite at the extremes."""

import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from cvae_tf.kl_divergence import normal_kl
from cvae_tf.layers import bound_log_var
from cvae_tf.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    DiscretizedLogistic,
    Gaussian,
    bits_per_dimension,
)


def outputs_for(likelihood, images, value=0.3):
    channels = images.shape[-1] * likelihood.outputs_per_channel
    return np.full((*images.shape[:-1], channels), value, "float32")


def test_gaussian_in_training_has_the_scale_of_the_batch():
    # Errors 0.1 and 0.3 on one pixel each: the mean square is 0.05.
    images, outputs = np.zeros((2, 1, 1, 1)), np.array([0.1, 0.3]).reshape(2, 1, 1, 1)
    nats = Gaussian()(images, outputs, training=True)
    expected = [
        0.5 * (math.log(2 * math.pi * 0.05) + square / 0.05) for square in (0.01, 0.09)
    ]
    np.testing.assert_allclose(nats, expected, rtol=1e-5)
    mean = 0.5 * (1 + math.log(2 * math.pi * 0.05))
    assert float(ops.mean(nats)) == pytest.approx(mean, rel=1e-5)


def test_gaussian_keeps_a_running_mean_of_the_scale():
    likelihood = Gaussian()
    zeros, tenth = np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 0.1)
    likelihood(zeros, tenth, training=True)
    assert float(likelihood.variance) == pytest.approx(0.01, rel=1e-5)
    likelihood(zeros, 2 * tenth, training=True)
    assert float(likelihood.variance) == pytest.approx(0.0115, rel=1e-4)
    nats = likelihood(zeros, zeros)
    assert float(nats[0]) == pytest.approx(2 * math.log(2 * math.pi * 0.0115), rel=1e-4)


def test_gaussian_without_error_stays_finite():
    zeros = np.zeros((1, 2, 2, 1))
    nats = Gaussian()(zeros, zeros, training=True)
    assert float(nats[0]) == pytest.approx(2 * math.log(2 * math.pi / 512**2))


def test_bernoulli_is_the_cross_entropy():
    images = np.array([0.0, 1.0, 0.5]).reshape(1, 1, 3, 1)
    logits = np.array([0.0, math.log(3), math.log(3)]).reshape(1, 1, 3, 1)
    expected = math.log(2) - math.log(0.75) - 0.5 * (math.log(0.75) + math.log(0.25))
    assert float(Bernoulli()(images, logits)[0]) == pytest.approx(expected, rel=1e-6)


def test_discretized_logistic_sums_to_one_over_all_pixel_values():
    values = np.arange(256).reshape(256, 1, 1, 1) / 255
    for mean, log_scale in ((0.3, -3.0), (0.0, -6.0), (1.2, -1.0), (-3.0, 2.0)):
        outputs = np.tile([mean, log_scale], (256, 1, 1, 1))
        mass = np.exp(-DiscretizedLogistic()(values, outputs))
        assert mass.sum() == pytest.approx(1, abs=1e-4)


def test_discretized_logistic_is_the_mass_of_a_grey_level():
    def cdf(x):
        return 1 / (1 + math.exp(-(x - 0.4) / 0.05))

    for value in (0, 1, 100, 254, 255):
        upper = 1 if value == 255 else cdf((value + 0.5) / 255)
        lower = 0 if value == 0 else cdf((value - 0.5) / 255)
        nats = DiscretizedLogistic()(
            np.full((1, 1, 1, 1), value / 255),
            np.array([[[[0.4, math.log(0.05)]]]]),
        )
        assert float(nats[0]) == pytest.approx(-math.log(upper - lower), rel=1e-3)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_distortion_is_summed_over_pixels_per_image(name):
    likelihood = LIKELIHOODS[name]()
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 2)) / 255
    outputs = outputs_for(likelihood, images)
    nats = likelihood(images, outputs)
    assert nats.shape == (3,)
    twice = likelihood(np.tile(images, (1, 2, 1, 1)), np.tile(outputs, (1, 2, 1, 1)))
    np.testing.assert_allclose(twice, 2 * nats, rtol=1e-5)
    again = likelihood(np.tile(images, (2, 1, 1, 1)), np.tile(outputs, (2, 1, 1, 1)))
    np.testing.assert_allclose(again, np.tile(nats, 2), rtol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("pixel", [0.0, 1.0])
@pytest.mark.parametrize("value", [-200.0, -20.0, 0.0, 20.0, 200.0])
def test_extreme_outputs_have_finite_distortion_and_gradient(name, pixel, value):
    likelihood = LIKELIHOODS[name]()
    images = np.full((2, 3, 3, 1), pixel, "float32")
    outputs = tf.Variable(outputs_for(likelihood, images, value))
    with tf.GradientTape() as tape:
        nats = likelihood(images, outputs, training=True)
    assert np.isfinite(nats).all()
    assert np.isfinite(tape.gradient(nats, outputs)).all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_mean_is_an_image(name):
    likelihood = LIKELIHOODS[name]()
    images = np.zeros((2, 3, 3, 3))
    for value in (-9.0, 0.3, 9.0):
        image = np.array(likelihood.mean(outputs_for(likelihood, images, value)))
        assert image.shape == images.shape
        assert 0 <= image.min() <= image.max() <= 1


def test_kl_of_each_image_is_as_worked_by_hand():
    mean, log_var = np.array([[1.0, 0], [0, 2]]), np.array([[0, 0], [math.log(4), 0]])
    nats = normal_kl(mean, log_var)
    np.testing.assert_allclose(nats, [0.5, 0.5 * (3 - math.log(4)) + 2], rtol=1e-6)
    assert float(ops.mean(nats)) == pytest.approx(1.6534, abs=1e-4)


def test_kl_to_another_gaussian_is_zero_only_where_equal():
    random = np.random.default_rng(0)
    mean, log_var = random.normal(size=(2, 3, 4, 4, 2))
    assert np.abs(normal_kl(mean, log_var, mean, log_var)).max() < 1e-6
    # KL(N(1, 4) || N(0, 2)) = 1/2 [ (4 + 1) / 2 - 1 + log(2 / 4) ]
    nats = normal_kl(
        np.array([[1.0]]), np.array([[math.log(4)]]), 0.0, np.array([[math.log(2)]])
    )
    assert float(nats[0]) == pytest.approx(0.5 * (2.5 - 1 + math.log(0.5)))


@pytest.mark.parametrize("log_var", [-200.0, -20.0, 0.0, 20.0, 200.0])
def test_extreme_log_variance_has_finite_kl_and_gradient(log_var):
    variable = tf.Variable([[log_var]])
    with tf.GradientTape() as tape:
        bounded = bound_log_var(variable)
        nats = normal_kl(tf.zeros((1, 1)), bounded)
    assert np.isfinite(nats).all() and np.isfinite(np.exp(bounded)).all()
    assert np.isfinite(tape.gradient(nats, variable)).all()
    assert abs(float(bound_log_var(np.array(1.0))) - 1) < 0.01


def test_bits_of_nats_as_the_literature_counts_them():
    # The reference notebook, on MNIST and CIFAR10.
    assert bits_per_dimension(-961.7, (28, 28, 1), True) == pytest.approx(
        6.23, abs=0.01
    )
    assert bits_per_dimension(-2668.7, (32, 32, 3), True) == pytest.approx(
        6.75, abs=0.01
    )
    assert bits_per_dimension(2 * math.log(2), (1, 2, 1), False) == pytest.approx(1)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_location_of_an_image_gives_the_image(name):
    likelihood, image = LIKELIHOODS[name](), np.linspace(0, 1, 5).reshape(1, 1, 5, 1)
    outputs = np.zeros((1, 1, 5, likelihood.outputs_per_channel))
    outputs[..., :1] = likelihood.to_location(image)
    np.testing.assert_allclose(likelihood.mean(outputs), image, atol=2e-6)
