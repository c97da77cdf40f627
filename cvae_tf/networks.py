"""The networks of conditional VAEs, as functional models; read `plain` first."""

import math

import keras
from keras import layers

from cvae_tf.ladder.networks import Networks, compact
from cvae_tf.layers import (
    GaussianParameters,
    check_multiple_of_4,
    convolution,
    decoder_inputs,
    residual_block,
    silu,
    with_label_channel,
)
from train_tf.layers import FusedBatchNormalization


def plain(image_shape, classes, outputs_per_channel=1, decoder_label=True, latents=64):
    """The smallest complete variant: one level of latents, under 1 million parameters.

    The encoder receives the label as an extra image channel, the decoder by FiLM.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 4.
        classes: number of labels.
        outputs_per_channel: number of the likelihood's outputs per pixel and channel.
        decoder_label: whether the decoder receives the label.
        latents: number of latents.

    Returns:
        `Networks`:
        encoder: image, label -> mean and log variance of the latents.
        decoder: latents, label -> the likelihood's outputs.
    """
    check_multiple_of_4(image_shape)
    height, width, channels = image_shape
    quarter = (height // 4, width // 4, 64)

    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    x = with_label_channel(image, label, classes)
    x = convolution(x, 32, "down_2", strides=2)
    x = convolution(silu(x), 64, "down_4", strides=2)
    x = residual_block(x, "block")
    x = silu(convolution(silu(x), 32, "narrow"))
    x = layers.Dense(2 * latents, name="parameters")(layers.Flatten()(x))
    x = GaussianParameters(name="posterior")(x)
    encoder = keras.Model([image, label], x, name="encoder")

    latent = keras.Input((latents,), name="latent")
    inputs, embedding = decoder_inputs(latent, classes, decoder_label)
    x = layers.Dense(math.prod(quarter), name="dense")(latent)
    x = layers.Reshape(quarter)(x)
    x = residual_block(x, "block_4", embedding)
    x = convolution(layers.UpSampling2D()(silu(x)), 32, "up_2")
    x = residual_block(x, "block_2", embedding)
    x = convolution(layers.UpSampling2D()(silu(x)), 16, "up_1")
    x = convolution(silu(x), channels * outputs_per_channel, "pixels", dtype="float32")
    return Networks(encoder, keras.Model(inputs, x, name="decoder"))


def resnet18(
    image_shape, classes, outputs_per_channel=1, decoder_label=True, latents=256
):
    """A ResNet18 encoder and a symmetric decoder.

    20.3 million parameters (20.1 million without the decoder's label).

    He et al. 2016, "Deep residual learning for image recognition", with a 3x3 stem
    without stride and no pooling, for small images. Takes images of any size; for
    arguments and results see `plain`.
    """
    height, width, channels = image_shape

    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    x = with_label_channel(image, label, classes)
    x = layers.ReLU()(_conv_norm(x, 64, "stem"))
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(2):
            strides = 2 if stage and not block else 1
            x = _basic_block(x, filters, f"stage_{stage + 1}_{block + 1}", strides)
    x = layers.GlobalAveragePooling2D()(x)
    mean = layers.Dense(latents, name="mean", dtype="float32")(x)
    log_var = layers.Dense(latents, name="log_var", dtype="float32")(x)
    x = layers.Concatenate(name="parameters", dtype="float32")([mean, log_var])
    x = GaussianParameters(name="posterior")(x)
    encoder = keras.Model([image, label], x, name="encoder")

    latent = keras.Input((latents,), name="latent")
    inputs, embedding = decoder_inputs(latent, classes, decoder_label)
    x = layers.Concatenate()([latent, embedding]) if decoder_label else latent
    x = layers.Reshape((4, 4, 512))(layers.Dense(4 * 4 * 512, name="dense")(x))
    x = layers.Resizing(-(-height // 8), -(-width // 8), "nearest")(x)
    for stage, (filters, shrink) in enumerate(((256, 4), (128, 2), (64, 1), (64, 1))):
        size = (-(-height // shrink), -(-width // shrink))
        for block in range(2):
            x = _basic_block_up(x, filters, f"stage_{stage + 1}_{block + 1}", size)
    settings = {"use_bias": False, "dtype": "float32"}
    x = convolution(x, channels * outputs_per_channel, "pixels", **settings)
    return Networks(encoder, keras.Model(inputs, x, name="decoder"))


def _conv_norm(x, filters, name, kernel_size=3, strides=1):
    x = convolution(x, filters, name, kernel_size, strides=strides, use_bias=False)
    return FusedBatchNormalization(name=f"{name}_norm")(x)


def _basic_block(x, filters, name, strides=1):
    residual = layers.ReLU()(_conv_norm(x, filters, f"{name}_a", strides=strides))
    residual = _conv_norm(residual, filters, f"{name}_b")
    return _join(x, residual, name, strides)


def _basic_block_up(x, filters, name, size):
    """The first convolution keeps the channels; the second follows the resizing."""
    residual = layers.ReLU()(_conv_norm(x, x.shape[-1], f"{name}_a"))
    if x.shape[1:3] != size:
        residual = layers.Resizing(*size, "nearest")(residual)
        x = layers.Resizing(*size, "nearest")(x)
    return _join(x, _conv_norm(residual, filters, f"{name}_b"), name)


def _join(x, residual, name, strides=1):
    if strides > 1 or x.shape[-1] != residual.shape[-1]:
        x = _conv_norm(x, residual.shape[-1], f"{name}_shortcut", 1, strides)
    return layers.ReLU()(layers.Add(name=name)([residual, x]))


NETWORKS = {"compact": compact, "plain": plain, "resnet18": resnet18}
