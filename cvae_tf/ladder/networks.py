"""The networks of `compact`, a hierarchical VAE, as functional models."""

import math
from typing import NamedTuple

import keras
from keras import layers

from cvae_tf.layers import (
    BoundLogVar,
    CosineTransform,
    GaussianParameters,
    check_multiple_of_4,
    convolution,
    decoder_inputs,
    residual_block,
    silu,
    with_label_channel,
)

# Where a prior is overconfident, an outlier costs thousands of nats, and its gradient
# outweighs all others.
PRIOR_LOG_VAR_BOUND = 4.0
PIXEL_SCALE = 4.0  # brings pixels and reconstruction errors to about 1
INITIAL_LOG_SCALE = -4.0  # log scale of a discretised likelihood
INITIAL_LOG_VAR = -5.0  # log variance of the details' posterior


class DetailLevel(NamedTuple):
    """One map of detail latents, which refine the current reconstruction.

    The current reconstruction is the coarse image for the first level, and the result
    of the level before for the others. Locations are those of a `Likelihood`.

    prior: the coarse decoder's features, current reconstruction -> context (features
        for the other two networks), log variance of the details (mean 0).
    posterior: image, label, context, current reconstruction -> mean and log variance.
    decoder: details, context, location of the current reconstruction -> location of the
        next one; on the last level, all outputs of the likelihood. Details of zero keep
        the location.
    """

    prior: keras.Model
    posterior: keras.Model
    decoder: keras.Model


class Networks(NamedTuple):
    """The networks of a VAE; `details` is empty if it has one level of latents."""

    encoder: keras.Model
    decoder: keras.Model
    details: tuple[DetailLevel, ...] = ()


def compact(
    image_shape,
    classes,
    outputs_per_channel=1,
    decoder_label=True,
    latents=12,
    detail_latents=4,
    width=32,
):
    """A style vector and two maps of detail latents, under 2 million parameters.

    The maps have a quarter and half of the image's height and width.

    Args:
        image_shape, classes, outputs_per_channel, decoder_label: see `networks.plain`.
        latents: number of style latents.
        detail_latents: number of latents at each position of a map.
        width: channels at half the image's size.

    Returns:
        `Networks`:
        encoder: image -> mean and log variance of the style.
        decoder: style, label -> logits of the coarse image, features.
        details: a `DetailLevel` for each map, the coarsest first.
    """
    check_multiple_of_4(image_shape)
    rows, columns, _ = image_shape
    features = (rows // 2, columns // 2, width)

    def detail_level(shrink, outputs_per_channel):
        context = (rows // shrink, columns // shrink, width * shrink // 2)
        return DetailLevel(
            _detail_prior(image_shape, features, context, detail_latents),
            _detail_posterior(image_shape, context, detail_latents, classes, width),
            _detail_decoder(image_shape, context, detail_latents, outputs_per_channel),
        )

    return Networks(
        _style_encoder(image_shape, latents, width),
        _coarse_decoder(image_shape, classes, latents, width, decoder_label),
        (detail_level(4, 1), detail_level(2, outputs_per_channel)),
    )


def latent_discriminator(latents, classes):
    """Style -> logits of the labels."""
    style = keras.Input((latents,), name="style")
    x = layers.Dense(128, activation="relu", name="dense_a")(style)
    x = layers.Dense(128, activation="relu", name="dense_b")(x)
    x = layers.Dense(classes, name="label", dtype="float32")(x)
    return keras.Model(style, x, name="latent_discriminator")


def auxiliary_classifier(image_shape, classes, width=48):
    """Image -> logits of the labels, and of "not a real image".

    It downsamples by averaging: the gradient of strided convolutions is uneven from
    pixel to pixel, and a decoder trained by it draws checkerboards.
    """
    image = keras.Input(image_shape, name="image")
    x = layers.GaussianNoise(0.1, name="noise")(image)
    x = layers.Rescaling(4, -2, name="centred")(x)
    for level, convolutions in enumerate(("a", "ab", "ab")):
        for letter in convolutions:
            name = f"level_{level + 1}_{letter}"
            x = convolution(x, width * 2**level, name, kernel_initializer="he_normal")
            x = layers.ReLU()(x)
        x = layers.AveragePooling2D(2)(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(classes + 1, name="label", dtype="float32")(x)
    return keras.Model(image, x, name="auxiliary_classifier")


def _style_encoder(image_shape, latents, width):
    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2, -1, name="centred")(image)
    x = convolution(x, width, "stem", 5, strides=2)
    x = residual_block(convolution(silu(x), 2 * width, "down", strides=2), "block")
    x = layers.Flatten()(silu(convolution(silu(x), width, "narrow")))
    x = silu(layers.Dense(128, name="dense")(x))
    x = layers.Dense(2 * latents, name="style")(x)
    return keras.Model(image, GaussianParameters(name="posterior")(x), name="encoder")


def _coarse_decoder(image_shape, classes, latents, width, decoder_label):
    rows, columns, channels = image_shape
    quarter = (rows // 4, columns // 4, 2 * width)
    style = keras.Input((latents,), name="style")
    inputs, embedding = decoder_inputs(style, classes, decoder_label)
    x = layers.Concatenate()([style, embedding]) if decoder_label else style
    x = silu(layers.Dense(128, name="dense_a")(x))
    x = layers.Dense(math.prod(quarter), name="dense_b")(x)
    x = layers.Reshape(quarter)(x)
    x = residual_block(x, "block_4_a", embedding)
    x = residual_block(x, "block_4_b", embedding)
    x = convolution(_upsample(silu(x)), width, "up_2")
    features = residual_block(x, "block_2", embedding)
    x = _upsample(convolution(silu(features), 16, "narrow"))
    x = silu(convolution(silu(x), 16, "up_1"))
    x = convolution(x, channels, "coarse", dtype="float32")
    return keras.Model(inputs, [x, features], name="coarse_decoder")


def _detail_prior(image_shape, features_shape, context_shape, detail_latents):
    features = keras.Input(features_shape, name="features")
    image = keras.Input(image_shape, name="reconstruction")
    x = layers.Rescaling(PIXEL_SCALE, -PIXEL_SCALE / 2, name="centred")(image)
    x = convolution(x, features_shape[-1], "stem", 5, strides=2)
    y = convolution(silu(features), features_shape[-1], "features_convolution")
    x = _downsample(layers.Add(name="join")([x, y]), context_shape)
    context = residual_block(x, "block")
    x = convolution(
        silu(context), detail_latents, "unbounded_log_var", kernel_initializer="zeros"
    )
    log_var = BoundLogVar(PRIOR_LOG_VAR_BOUND, name="log_var")(x)
    return keras.Model([features, image], [context, log_var], name="detail_prior")


def _detail_posterior(image_shape, context_shape, detail_latents, classes, width):
    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    context = keras.Input(context_shape, name="context")
    reconstruction = keras.Input(image_shape, name="reconstruction")
    float32 = {"dtype": "float32"}
    error = layers.Subtract(name="error", **float32)([image, reconstruction])
    x = layers.Rescaling(PIXEL_SCALE, name="error_scaled")(error)
    x = with_label_channel(layers.Concatenate()([image, x]), label, classes)
    x = _downsample(convolution(x, width, "stem", 5, strides=2), context_shape)
    y = convolution(silu(context), context_shape[-1], "context_convolution")
    x = silu(residual_block(layers.Add(name="join")([x, y]), "block"))
    # The mean starts as the cosine transform of the error.
    small = {"kernel_initializer": keras.initializers.VarianceScaling(0.01), **float32}
    patch = image_shape[0] // context_shape[0]
    transform = {"use_bias": False, "kernel_initializer": CosineTransform(PIXEL_SCALE)}
    shortcut = layers.Conv2D(
        detail_latents, patch, patch, name="shortcut", **transform, **float32
    )(error)
    residual = convolution(x, detail_latents, "residual", **small)
    mean = layers.Add(name="mean", **float32)([shortcut, residual])
    initial = keras.initializers.Constant(INITIAL_LOG_VAR)
    log_var = convolution(
        x, detail_latents, "log_var", bias_initializer=initial, **small
    )
    parameters = layers.Concatenate(name="parameters", **float32)([mean, log_var])
    inputs = [image, label, context, reconstruction]
    outputs = GaussianParameters(name="posterior")(parameters)
    return keras.Model(inputs, outputs, name="detail_posterior")


def _detail_decoder(image_shape, context_shape, detail_latents, outputs_per_channel):
    channels, patch = image_shape[-1], image_shape[0] // context_shape[0]
    details = keras.Input((*context_shape[:2], detail_latents), name="details")
    context = keras.Input(context_shape, name="context")
    location = keras.Input(image_shape, name="location")
    # No biases on the way of the details: zero latents add zero.
    gate = convolution(
        silu(context), context_shape[-1], "gate", bias_initializer="ones"
    )
    x = convolution(details, context_shape[-1], "stem", use_bias=False)
    x = residual_block(
        layers.Multiply(name="gated")([x, gate]), "block", use_bias=False
    )
    no_bias = {"use_bias": False, "dtype": "float32"}
    small = {"kernel_initializer": keras.initializers.VarianceScaling(0.1)}
    inverse = {"kernel_initializer": CosineTransform(1 / PIXEL_SCALE)}
    residual = _transposed(silu(x), channels, patch, 2, "residual", **no_bias, **small)
    shortcut = _transposed(
        details, channels, patch, 1, "shortcut", **no_bias, **inverse
    )
    x = layers.Add(name="next", dtype="float32")([location, residual, shortcut])
    if outputs_per_channel > 1:
        y = layers.Concatenate(name="details_context")([details, context])
        y = silu(convolution(y, context_shape[-1], "log_scales_convolution"))
        initial = keras.initializers.Constant(INITIAL_LOG_SCALE)
        settings = {"dtype": "float32", "bias_initializer": initial}
        filters = channels * (outputs_per_channel - 1)
        y = _transposed(y, filters, patch, 2, "log_scales", **settings)
        x = layers.Concatenate(name="outputs", dtype="float32")([x, y])
    return keras.Model([details, context, location], x, name="detail_decoder")


def _downsample(x, shape):
    """Bring features of half the image's size to the shape of a map of details."""
    if x.shape[1] == shape[0]:
        return x
    return convolution(silu(x), shape[-1], "down", strides=2)


def _upsample(x):
    return layers.UpSampling2D(interpolation="bilinear")(x)


def _transposed(x, filters, stride, overlap, name, **settings):
    """A transposed convolution; in each direction `overlap` kernels meet at a pixel."""
    return layers.Conv2DTranspose(
        filters, overlap * stride, stride, "same", name=name, **settings
    )(x)
