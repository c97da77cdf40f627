"""The networks: sizes, inputs and outputs, precisions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.ladder.networks import auxiliary_classifier, latent_discriminator
from cvae_tf.networks import compact, plain, resnet18

SHAPES = [(28, 28, 1), (32, 32, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_compact_has_under_two_million_parameters(shape):
    networks = compact(shape, 10)
    models = [networks.encoder, networks.decoder, *sum(networks.details, ())]
    assert sum(model.count_params() for model in models) < 2_000_000


@pytest.mark.parametrize("shape", SHAPES)
def test_plain_has_under_one_million_parameters(shape):
    encoder, decoder, _ = plain(shape, 10)
    assert encoder.count_params() + decoder.count_params() < 1_000_000


def test_resnet18_has_the_parameters_of_its_model():
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
    coarse, features = decoder([mean, labels] if decoder_label else mean)
    assert coarse.shape == images.shape
    location = coarse
    for shrink, outputs, level in zip(
        (4, 2), (1, outputs_per_channel), details, strict=True
    ):
        positions = (3, shape[0] // shrink, shape[1] // shrink)
        context, log_var = level.prior([features, coarse])
        assert log_var.shape == (*positions, 2)
        moments = level.posterior([images, labels, context, coarse])
        assert [x.shape for x in moments] == [(*positions, 2)] * 2
        location = level.decoder([moments[0], context, location])
        assert location.shape == (*images.shape[:3], shape[2] * outputs)


@pytest.mark.parametrize("number", [0, 1])
def test_details_of_zero_add_zero(number):
    decoder = compact((28, 28, 1), 10, 2).details[number].decoder
    details, context, location = (
        tf.random.normal((2, *x.shape[1:])) for x in decoder.inputs
    )
    np.testing.assert_array_equal(
        decoder([0 * details, context, location])[..., :1], location
    )
    assert np.abs(decoder([details, context, location])[..., :1] - location).min() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_details_start_as_the_reconstruction_error(shape):
    """With as many latents as values in a patch, the cosine transform loses nothing."""
    level = compact(shape, 10, detail_latents=4 * shape[-1]).details[1]
    keras.utils.set_random_seed(0)
    image, reconstruction = tf.random.uniform((2, 3, *shape))
    error = image - reconstruction
    details = level.posterior.get_layer("shortcut")(error)
    added = level.decoder.get_layer("shortcut")(details)
    np.testing.assert_allclose(added, error, atol=1e-5)


@pytest.mark.parametrize("decoder_label", [True, False])
@pytest.mark.parametrize(
    ("network", "shape"),
    [
        *((resnet18, shape) for shape in SHAPES),
        *((plain, shape) for shape in (*SHAPES, (8, 20, 2))),
    ],
)
def test_one_level_gives_what_is_documented(network, shape, decoder_label):
    encoder, decoder, details = network(shape, 10, 2, decoder_label, latents=7)
    images, labels = tf.ones((2, *shape)), tf.constant([0, 9])
    mean, log_var = encoder([images, labels])
    assert mean.shape == log_var.shape == (2, 7)
    outputs = decoder([mean, labels] if decoder_label else mean)
    assert outputs.shape == (*images.shape[:3], shape[2] * 2)
    assert details == ()


@pytest.mark.parametrize("network", [compact, plain])
def test_image_that_cannot_be_halved_twice_is_rejected(network):
    with pytest.raises(ValueError, match=r"multiples of 4. Received: \(28, 30, 1\)"):
        network((28, 30, 1), 10)


def test_plain_receives_the_label_as_a_channel_and_by_film():
    encoder, decoder, _ = plain((8, 8, 1), 10)
    assert encoder.get_layer("down_2").input.shape == (None, 8, 8, 2)
    film = {layer.name for layer in decoder.layers if type(layer).__name__ == "FiLM"}
    assert film == {"block_4_label", "block_2_label"}


def test_style_is_read_from_the_image_alone():
    assert [x.name for x in compact((28, 28, 1), 10).encoder.inputs] == ["image"]


def test_adversaries_have_a_logit_per_label_and_one_for_not_real():
    assert latent_discriminator(5, 10)(np.zeros((2, 5))).shape == (2, 10)
    classifier = auxiliary_classifier((28, 28, 1), 10)
    assert classifier(np.zeros((2, 28, 28, 1))).shape == (2, 11)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_outputs_and_parameters_are_float32_in_every_precision(policy):
    keras.config.set_dtype_policy(policy)
    encoder, decoder, details = compact((28, 28, 1), 10)
    tensors = [*encoder.outputs, decoder.outputs[0]]
    for level in details:
        tensors += [level.prior.outputs[1]]
        tensors += [*level.posterior.outputs, *level.decoder.outputs]
    for network in (plain, resnet18):
        encoder, decoder, _ = network((28, 28, 1), 10)
        tensors += [*encoder.outputs, *decoder.outputs]
    assert {tensor.dtype for tensor in tensors} == {"float32"}
