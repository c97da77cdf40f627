"""Encoders and decoders, as functional models, that a conditional VAE is handed.

`compact` has two levels of latents: a few numbers of style, which know nothing of the
label, and a map of details. `resnet18` has one level, and 20 million weights.
"""

import math
from typing import NamedTuple

import keras
from keras import layers

from cvae_tf.layers import (
    BoundLogVar,
    NormalParameters,
    convolution,
    residual,
    silu,
    with_label_channel,
)

# Where a prior is all too sure, one odd stroke costs thousands of nats, and its
# gradient drowns all others.
PRIOR_BOUND = 4.0


class Networks(NamedTuple):
    """What a VAE is put together from; `details` is None where there is one level."""

    encoder: keras.Model
    decoder: keras.Model
    details: "Details | None" = None


class Details(NamedTuple):
    """The lower level of latents: prior, posterior, and the last touch."""

    prior: keras.Model
    posterior: keras.Model
    painter: keras.Model


def compact(
    image_shape,
    classes,
    outputs_per_channel=1,
    decoder_label=True,
    latents=12,
    detail_latents=4,
    width=32,
):
    """Two levels of latents in about a million weights.

    Top-down, style and label make a sketch and a map of features. From the features
    alone comes the prior of the details; their posterior sees the image and its label
    too (Sonderby et al. 2016, "Ladder variational autoencoders"). The image's label is
    laid beside it as a channel there.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 4.
        classes: how many labels there are.
        outputs_per_channel: numbers that the likelihood wants for each pixel.
        decoder_label: whether the decoder sees the label.
        latents: numbers of style.
        detail_latents: numbers of detail at each place of half the image's size.
        width: channels at half the image's size.

    Returns:
        `Networks`:
        encoder: image -> mean and log variance of the style.
        decoder: style, label -> logits of the sketch, features.
        details.prior: features -> log variance of the details, whose mean is 0.
        details.posterior: image, label, features, sketch -> mean and log variance.
        details.painter: details, features, where the likelihood has the sketch -> the
            likelihood's outputs.
    """
    height, across, channels = image_shape
    half = (height // 2, across // 2, width)
    return Networks(
        _style_encoder(image_shape, latents, width),
        _sketch_decoder(image_shape, classes, latents, width, decoder_label),
        Details(
            _details_prior(half, detail_latents),
            _details_posterior(image_shape, half, classes, detail_latents),
            _painter(image_shape, half, detail_latents, outputs_per_channel),
        ),
    )


def _style_encoder(image_shape, latents, width):
    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2, -1, name="centred")(image)
    x = convolution(x, width, "stem", 5, strides=2)
    x = residual(convolution(silu(x), 2 * width, "down", strides=2), "block")
    x = layers.Flatten()(silu(convolution(silu(x), width, "narrow")))
    x = silu(layers.Dense(128, name="dense")(x))
    x = layers.Dense(2 * latents, name="style")(x)
    return keras.Model(image, NormalParameters(name="normal")(x), name="encoder")


def _sketch_decoder(image_shape, classes, latents, width, decoder_label):
    height, across, channels = image_shape
    quarter = (height // 4, across // 4, 2 * width)
    style = keras.Input((latents,), name="style")
    embedding, inputs, x = None, style, style
    if decoder_label:
        label = keras.Input((), dtype="int32", name="label")
        embedding = layers.Embedding(classes, 32, name="label_embedding")(label)
        inputs, x = [style, label], layers.Concatenate()([style, embedding])
    x = silu(layers.Dense(128, name="dense_a")(x))
    x = layers.Dense(math.prod(quarter), name="dense_b")(x)
    x = layers.Reshape(quarter)(x)
    x = residual(residual(x, "block_4_a", embedding), "block_4_b", embedding)
    x = convolution(_enlarged(silu(x)), width, "up_2")
    features = residual(x, "block_2", embedding)
    x = _enlarged(convolution(silu(features), 16, "narrow"))
    x = silu(convolution(silu(x), 16, "up_1"))
    x = convolution(x, channels, "sketch", dtype="float32")
    return keras.Model(inputs, [x, features], name="decoder")


def _details_prior(half, detail_latents):
    features = keras.Input(half, name="features")
    x = silu(convolution(silu(features), half[-1], "a"))
    x = convolution(x, detail_latents, "b", kernel_initializer="zeros")
    log_var = BoundLogVar(PRIOR_BOUND, name="log_var")(x)
    return keras.Model(features, log_var, name="details_prior")


def _details_posterior(image_shape, half, classes, detail_latents):
    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    features = keras.Input(half, name="features")
    sketch = keras.Input(image_shape, name="sketch")
    x = layers.Subtract(name="missing", dtype="float32")([image, sketch])
    x = with_label_channel(layers.Concatenate()([image, x]), label, classes)
    x = convolution(x, half[-1], "stem", 5, strides=2)
    joined = convolution(silu(features), half[-1], "join_features")
    x = residual(layers.Add(name="join")([x, joined]), "block")
    x = convolution(silu(x), 2 * detail_latents, "parameters")
    parameters = NormalParameters(name="normal")(x)
    inputs = [image, label, features, sketch]
    return keras.Model(inputs, parameters, name="details_posterior")


def _painter(image_shape, half, detail_latents, outputs_per_channel):
    channels, width = image_shape[-1], half[-1]
    details = keras.Input((*half[:2], detail_latents), name="details")
    features = keras.Input(half, name="features")
    sketch = keras.Input(image_shape, name="sketch")
    # Without biases nothing comes of nothing: where the details are at their prior's
    # mean, zero, the picture is the sketch.
    gate = convolution(silu(features), width, "gate", bias_initializer="ones")
    x = convolution(details, width, "stem", use_bias=False)
    x = residual(layers.Multiply(name="gated")([x, gate]), "block", use_bias=False)
    x = silu(_transposed(silu(x), 16, "up", use_bias=False))
    exact = {"use_bias": False, "dtype": "float32"}
    change = convolution(x, channels, "paint", 5, **exact)
    straight = _transposed(details, channels, "straight", **exact)
    x = layers.Add(name="painted", dtype="float32")([sketch, change, straight])
    if outputs_per_channel > 1:
        further = channels * (outputs_per_channel - 1)
        y = convolution(layers.Concatenate()([details, features]), width, "scales_a")
        y = silu(_transposed(silu(y), 16, "scales_b"))
        y = convolution(y, further, "scales", 5, dtype="float32")
        x = layers.Concatenate(name="means_scales", dtype="float32")([x, y])
    return keras.Model([details, features, sketch], x, name="painter")


def resnet18(
    image_shape, classes, outputs_per_channel=1, decoder_label=True, latents=256
):
    """A residual network of 18 layers, and the same backwards: 20.1M weights.

    He et al. 2016, "Deep residual learning for image recognition", with a 3x3 stem
    without stride and no pooling, for small images.

    Args, Returns:
        As `compact`; encoder: image, label -> mean and log variance; decoder: latents,
        label -> likelihood's outputs.
    """
    return Networks(
        _resnet_encoder(image_shape, classes, latents),
        _resnet_decoder(
            image_shape, classes, outputs_per_channel, decoder_label, latents
        ),
    )


def _resnet_encoder(image_shape, classes, latents):
    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    x = with_label_channel(image, label, classes)
    x = _normed_relu(convolution(x, 64, "stem", use_bias=False), "stem")
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(2):
            strides = 2 if stage and not block else 1
            x = _basic_block(x, filters, strides, f"stage_{stage + 1}_{block + 1}")
    x = layers.GlobalAveragePooling2D()(x)
    mean = layers.Dense(latents, name="mean", dtype="float32")(x)
    log_var = layers.Dense(latents, name="log_var", dtype="float32")(x)
    parameters = layers.Concatenate(name="parameters", dtype="float32")([mean, log_var])
    parameters = NormalParameters(name="normal")(parameters)
    return keras.Model([image, label], parameters, name="encoder")


def _resnet_decoder(image_shape, classes, outputs_per_channel, decoder_label, latents):
    height, width, channels = image_shape
    latent = keras.Input((latents,), name="latent")
    inputs, x = latent, latent
    if decoder_label:
        label = keras.Input((), dtype="int32", name="label")
        embedding = layers.Embedding(classes, 32, name="label_embedding")(label)
        inputs, x = [latent, label], layers.Concatenate()([latent, embedding])
    x = layers.Reshape((4, 4, 512))(layers.Dense(4 * 4 * 512, name="dense")(x))
    x = layers.Resizing(-(-height // 8), -(-width // 8), "nearest")(x)
    for stage, (filters, shrunk) in enumerate(((256, 4), (128, 2), (64, 1), (64, 1))):
        size = (-(-height // shrunk), -(-width // shrunk))
        for block in range(2):
            x = _basic_block_up(x, filters, size, f"stage_{stage + 1}_{block + 1}")
    settings = {"use_bias": False, "dtype": "float32"}
    outputs = convolution(x, channels * outputs_per_channel, "pixels", **settings)
    return keras.Model(inputs, outputs, name="decoder")


def label_reader(latents, classes):
    """Reads the label from the style: what independence is measured and trained by."""
    style = keras.Input((latents,), name="style")
    x = layers.Dense(128, activation="relu", name="a")(style)
    x = layers.Dense(128, activation="relu", name="b")(x)
    x = layers.Dense(classes, name="label", dtype="float32")(x)
    return keras.Model(style, x, name="label_reader")


def critic(image_shape, classes, width=48):
    """Reads the label from an image; its last answer is: drawn under a wrong label.

    It shrinks by averaging, since the gradient of convolutions with strides is uneven
    from pixel to pixel, and a decoder that follows it draws a checkerboard.
    """
    image = keras.Input(image_shape, name="image")
    x = layers.GaussianNoise(0.1, name="noise")(image)
    x = layers.Rescaling(4, -2, name="centred")(x)
    for level, convolutions in enumerate(("a", "ab", "ab")):
        for part in convolutions:
            name = f"level_{level + 1}_{part}"
            x = convolution(x, width * 2**level, name, kernel_initializer="he_normal")
            x = layers.ReLU()(x)
        x = layers.AveragePooling2D(2)(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(classes + 1, name="label", dtype="float32")(x)
    return keras.Model(image, x, name="critic")


def _enlarged(x):
    return layers.UpSampling2D(interpolation="bilinear")(x)


def _transposed(x, filters, name, **settings):
    return layers.Conv2DTranspose(filters, 4, 2, "same", name=name, **settings)(x)


def _normed_relu(x, name):
    return layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(x))


def _basic_block(x, filters, strides, name):
    change = convolution(x, filters, f"{name}_a", strides=strides, use_bias=False)
    change = _normed_relu(change, f"{name}_a")
    change = convolution(change, filters, f"{name}_b", use_bias=False)
    change = layers.BatchNormalization(name=f"{name}_b_norm")(change)
    if strides > 1 or x.shape[-1] != filters:
        x = convolution(x, filters, f"{name}_short", 1, strides=strides, use_bias=False)
        x = layers.BatchNormalization(name=f"{name}_short_norm")(x)
    return layers.ReLU()(layers.Add(name=name)([change, x]))


def _basic_block_up(x, filters, size, name):
    """The first convolution keeps the channels; the second comes after enlarging."""
    change = convolution(x, x.shape[-1], f"{name}_a", use_bias=False)
    change = _normed_relu(change, f"{name}_a")
    if x.shape[1:3] != size:
        change = layers.Resizing(*size, "nearest")(change)
        x = layers.Resizing(*size, "nearest")(x)
    change = convolution(change, filters, f"{name}_b", use_bias=False)
    change = layers.BatchNormalization(name=f"{name}_b_norm")(change)
    if x.shape[-1] != filters:
        x = convolution(x, filters, f"{name}_short", 1, use_bias=False)
        x = layers.BatchNormalization(name=f"{name}_short_norm")(x)
    return layers.ReLU()(layers.Add(name=name)([change, x]))


NETWORKS = {"compact": compact, "resnet18": resnet18}
