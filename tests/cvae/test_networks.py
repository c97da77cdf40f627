"""The networks: their sizes, what they see, and what they give."""

import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.config import CVAEConfig
from cvae_tf.networks import (
    NETWORKS,
    auxiliary_classifier,
    compact,
    latent_discriminator,
    resnet18,
)

SHAPES = [(28, 28, 1), (32, 32, 3)]


def test_allowed_values_are_the_names_there_are():
    allowed = typing.get_args(typing.get_type_hints(CVAEConfig)["network"])
    assert allowed == tuple(NETWORKS)


@pytest.mark.parametrize("shape", SHAPES)
def test_compact_has_under_two_million_weights(shape):
    networks = compact(shape, 10)
    parts = [networks.encoder, networks.decoder, *sum(networks.details, ())]
    assert sum(part.count_params() for part in parts) < 2_000_000


def test_resnet18_has_the_weights_of_its_model():
    encoder, decoder, _ = resnet18((28, 28, 1), 10, decoder_label=False)
    heads = 2 * (512 * 256 + 256)
    assert round((encoder.count_params() - heads) / 1e6, 1) == 11.2
    assert round(decoder.count_params() / 1e6, 1) == 8.6
    assert round((encoder.count_params() + decoder.count_params()) / 1e6, 1) == 20.1


@pytest.mark.parametrize("outputs_per_channel", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decoder_label", [True, False])
def test_compact_gives_what_is_documented(shape, decoder_label, outputs_per_channel):
    encoder, decoder, details = compact(
        shape, 10, outputs_per_channel, decoder_label, latents=5, detail_latents=2
    )
    images, labels = tf.ones((3, *shape)), tf.constant([0, 4, 9])
    mean, log_var = encoder(images)
    assert mean.shape == log_var.shape == (3, 5)
    sketch, features = decoder([mean, labels] if decoder_label else mean)
    assert sketch.shape == images.shape
    location = sketch
    for shrunk, outputs, part in zip(
        (4, 2), (1, outputs_per_channel), details, strict=True
    ):
        places = (3, shape[0] // shrunk, shape[1] // shrunk)
        context, log_var = part.prior([features, sketch])
        assert log_var.shape == (*places, 2)
        moments = part.posterior([images, labels, context, sketch])
        assert [x.shape for x in moments] == [(*places, 2)] * 2
        location = part.painter([moments[0], context, location])
        assert location.shape == (*images.shape[:3], shape[2] * outputs)


@pytest.mark.parametrize("number", [0, 1])
def test_picture_without_details_stays(number):
    painter = compact((28, 28, 1), 10, 2).details[number].painter
    details, context, location = (
        tf.random.normal((2, *x.shape[1:])) for x in painter.inputs
    )
    np.testing.assert_array_equal(
        painter([0 * details, context, location])[..., :1], location
    )
    assert np.abs(painter([details, context, location])[..., :1] - location).min() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_details_start_as_what_the_picture_lacks(shape):
    """As many latents as pixels carry all of it there and back."""
    part = compact(shape, 10, detail_latents=4 * shape[-1]).details[1]
    posterior, painter = part.posterior, part.painter
    keras.utils.set_random_seed(0)
    image, picture = tf.random.uniform((2, 3, *shape))
    straight = posterior.get_layer("straight")(image - picture)
    lacks = painter.get_layer("straight")(straight)
    np.testing.assert_allclose(lacks, image - picture, atol=1e-5)


@pytest.mark.parametrize("decoder_label", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_resnet18_gives_what_is_documented(shape, decoder_label):
    encoder, decoder, details = resnet18(shape, 10, 2, decoder_label, latents=7)
    images, labels = tf.ones((2, *shape)), tf.constant([0, 9])
    mean, log_var = encoder([images, labels])
    assert mean.shape == log_var.shape == (2, 7)
    outputs = decoder([mean, labels] if decoder_label else mean)
    assert outputs.shape == (*images.shape[:3], shape[2] * 2)
    assert details == ()


def test_style_is_read_from_the_image_alone():
    assert [x.name for x in compact((28, 28, 1), 10).encoder.inputs] == ["image"]


def test_side_networks_answer_with_labels_and_one_more_for_unreal():
    assert latent_discriminator(5, 10)(np.zeros((2, 5))).shape == (2, 10)
    assert auxiliary_classifier((28, 28, 1), 10)(np.zeros((2, 28, 28, 1))).shape == (
        2,
        11,
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_outputs_and_parameters_are_float32_in_every_precision(policy):
    keras.config.set_dtype_policy(policy)
    encoder, decoder, details = compact((28, 28, 1), 10)
    tensors = [*encoder.outputs, decoder.outputs[0]]
    for prior, posterior, painter in details:
        tensors += [prior.outputs[1], *posterior.outputs, *painter.outputs]
    encoder, decoder, _ = resnet18((28, 28, 1), 10)
    tensors += [*encoder.outputs, *decoder.outputs]
    assert {tensor.dtype for tensor in tensors} == {"float32"}
