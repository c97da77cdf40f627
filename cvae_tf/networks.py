"""Encoders and decoders, as functional models, that a conditional VAE is handed.

`compact` is a ladder of latents: a few numbers of style, which know nothing of the
label, and below them maps of details. `resnet18` has one level, and 20 million weights.
"""

import math
from typing import NamedTuple

import keras
from keras import layers

from cvae_tf.layers import (
    BoundLogVar,
    CosineTransform,
    GaussianParameters,
    convolution,
    residual,
    silu,
    with_label_channel,
)
from train_tf.layers import FusedBatchNormalization

# Where a prior is all too sure, one odd stroke costs thousands of nats, and its
# gradient drowns all others.
PRIOR_BOUND = 4.0  # of its log variance
CONTRAST = 4.0  # what pictures lack is multiplied by it: then it is about 1
FINE = -4.0  # log scale that a discretised likelihood starts at
SURE = -5.0  # log variance that posteriors of details start at


class Details(NamedTuple):
    """One map of details: what the picture so far lacks.

    prior: features, picture -> context, log variance of the details, whose mean is 0.
    posterior: image, label, context, picture -> mean and log variance.
    painter: details, context, location of the picture -> location of the next picture;
        of the last map, all outputs that the likelihood wants. Without details, the
        location stays.
    """

    prior: keras.Model
    posterior: keras.Model
    painter: keras.Model


class Networks(NamedTuple):
    """What a VAE is put together from; `details` has the coarsest map first."""

    encoder: keras.Model
    decoder: keras.Model
    details: tuple[Details, ...] = ()


def compact(
    image_shape,
    classes,
    outputs_per_channel=1,
    decoder_label=True,
    latents=12,
    detail_latents=4,
    width=32,
):
    """A ladder of latents, in less than two million weights.

    Top-down, style and label make a sketch and a map of features. What the sketch lacks
    comes in maps of details, the first of a quarter of the image's size, the second of
    half of it. Their posterior sees the image with its label beside it as a channel.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 4.
        classes: how many labels there are.
        outputs_per_channel: numbers that the likelihood wants for each pixel.
        decoder_label: whether the decoder sees the label.
        latents: numbers of style.
        detail_latents: numbers of detail at each place of each map.
        width: channels at half the image's size.

    Returns:
        `Networks`:
        encoder: image -> mean and log variance of the style.
        decoder: style, label -> logits of the sketch, features.
        details: a `Details` for each map.
    """
    height, across, channels = image_shape
    features = (height // 2, across // 2, width)

    def details(shrunk, outputs_per_channel):
        place = (height // shrunk, across // shrunk)
        context = (*place, features[-1] * shrunk // 2)
        return Details(
            _details_prior(image_shape, features, context, detail_latents),
            _details_posterior(image_shape, context, detail_latents, classes, width),
            _painter(image_shape, context, detail_latents, outputs_per_channel),
        )

    return Networks(
        _style_encoder(image_shape, latents, width),
        _sketch_decoder(image_shape, classes, latents, width, decoder_label),
        (details(4, 1), details(2, outputs_per_channel)),
    )


def _style_encoder(image_shape, latents, width):
    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2, -1, name="centred")(image)
    x = convolution(x, width, "stem", 5, strides=2)
    x = residual(convolution(silu(x), 2 * width, "down", strides=2), "block")
    x = layers.Flatten()(silu(convolution(silu(x), width, "narrow")))
    x = silu(layers.Dense(128, name="dense")(x))
    x = layers.Dense(2 * latents, name="style")(x)
    return keras.Model(image, GaussianParameters(name="normal")(x), name="encoder")


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


def _details_prior(image_shape, features_shape, context_shape, detail_latents):
    features = keras.Input(features_shape, name="features")
    picture = keras.Input(image_shape, name="picture")
    x = layers.Rescaling(CONTRAST, -CONTRAST / 2, name="centred")(picture)
    x = convolution(x, features_shape[-1], "stem", 5, strides=2)
    joined = convolution(silu(features), features_shape[-1], "join_features")
    x = layers.Add(name="join")([x, joined])
    context = residual(_shrunk(x, context_shape), "block")
    x = convolution(silu(context), detail_latents, "spread", kernel_initializer="zeros")
    log_var = BoundLogVar(PRIOR_BOUND, name="log_var")(x)
    return keras.Model([features, picture], [context, log_var], name="details_prior")


def _details_posterior(image_shape, context_shape, detail_latents, classes, width):
    image = keras.Input(image_shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    context = keras.Input(context_shape, name="context")
    picture = keras.Input(image_shape, name="picture")
    exact = {"dtype": "float32"}
    missing = layers.Subtract(name="missing", **exact)([image, picture])
    x = layers.Rescaling(CONTRAST, name="missing_more")(missing)
    x = with_label_channel(layers.Concatenate()([image, x]), label, classes)
    x = _shrunk(convolution(x, width, "stem", 5, strides=2), context_shape)
    joined = convolution(silu(context), context_shape[-1], "join_context")
    x = silu(residual(layers.Add(name="join")([x, joined]), "block"))
    # The mean starts as what is missing, exactly, and is then mended.
    small = {"kernel_initializer": keras.initializers.VarianceScaling(0.01), **exact}
    shrunk = image_shape[0] // context_shape[0]
    transform = {"use_bias": False, "kernel_initializer": CosineTransform(CONTRAST)}
    straight = layers.Conv2D(
        detail_latents, shrunk, shrunk, name="straight", **transform, **exact
    )(missing)
    change = convolution(x, detail_latents, "change", **small)
    mean = layers.Add(name="mean", **exact)([straight, change])
    sure = keras.initializers.Constant(SURE)
    log_var = convolution(x, detail_latents, "log_var", bias_initializer=sure, **small)
    parameters = layers.Concatenate(name="parameters", **exact)([mean, log_var])
    inputs = [image, label, context, picture]
    outputs = GaussianParameters(name="normal")(parameters)
    return keras.Model(inputs, outputs, name="details_posterior")


def _painter(image_shape, context_shape, detail_latents, outputs_per_channel):
    channels, shrunk = image_shape[-1], image_shape[0] // context_shape[0]
    details = keras.Input((*context_shape[:2], detail_latents), name="details")
    context = keras.Input(context_shape, name="context")
    location = keras.Input(image_shape, name="location")
    # Without biases nothing comes of nothing: where the details are at their prior's
    # mean, zero, the picture stays.
    gate = convolution(
        silu(context), context_shape[-1], "gate", bias_initializer="ones"
    )
    x = convolution(details, context_shape[-1], "stem", use_bias=False)
    x = residual(layers.Multiply(name="gated")([x, gate]), "block", use_bias=False)
    exact = {"use_bias": False, "dtype": "float32"}
    small = {"kernel_initializer": keras.initializers.VarianceScaling(0.1)}
    back = {"kernel_initializer": CosineTransform(1 / CONTRAST)}
    change = _enlarged_by(shrunk, 2, silu(x), channels, "change", **exact, **small)
    straight = _enlarged_by(shrunk, 1, details, channels, "straight", **exact, **back)
    x = layers.Add(name="painted", dtype="float32")([location, change, straight])
    if outputs_per_channel > 1:
        further = channels * (outputs_per_channel - 1)
        y = layers.Concatenate(name="drawn")([details, context])
        y = convolution(y, context_shape[-1], "scales_a")
        fine = keras.initializers.Constant(FINE)
        y = _enlarged_by(
            shrunk,
            2,
            silu(y),
            further,
            "scales",
            dtype="float32",
            bias_initializer=fine,
        )
        x = layers.Concatenate(name="means_scales", dtype="float32")([x, y])
    return keras.Model([details, context, location], x, name="painter")


def _shrunk(x, shape):
    """Features of half the image's size, brought to the size of a map of details."""
    if x.shape[1] == shape[0]:
        return x
    return convolution(silu(x), shape[-1], "down", strides=2)


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
    parameters = GaussianParameters(name="normal")(parameters)
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


def latent_discriminator(latents, classes):
    """Reads the label from the style: what independence is measured and trained by."""
    style = keras.Input((latents,), name="style")
    x = layers.Dense(128, activation="relu", name="a")(style)
    x = layers.Dense(128, activation="relu", name="b")(x)
    x = layers.Dense(classes, name="label", dtype="float32")(x)
    return keras.Model(style, x, name="latent_discriminator")


def auxiliary_classifier(image_shape, classes, width=48):
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
    return keras.Model(image, x, name="auxiliary_classifier")


def _enlarged(x):
    return layers.UpSampling2D(interpolation="bilinear")(x)


def _enlarged_by(factor, overlap, x, filters, name, **settings):
    """A transposed convolution, whose patches overlap in as many neighbours."""
    size = overlap * factor
    return layers.Conv2DTranspose(filters, size, factor, "same", name=name, **settings)(
        x
    )


def _normed_relu(x, name):
    return layers.ReLU()(FusedBatchNormalization(name=f"{name}_norm")(x))


def _basic_block(x, filters, strides, name):
    change = convolution(x, filters, f"{name}_a", strides=strides, use_bias=False)
    change = _normed_relu(change, f"{name}_a")
    change = convolution(change, filters, f"{name}_b", use_bias=False)
    change = FusedBatchNormalization(name=f"{name}_b_norm")(change)
    if strides > 1 or x.shape[-1] != filters:
        x = convolution(x, filters, f"{name}_short", 1, strides=strides, use_bias=False)
        x = FusedBatchNormalization(name=f"{name}_short_norm")(x)
    return layers.ReLU()(layers.Add(name=name)([change, x]))


def _basic_block_up(x, filters, size, name):
    """The first convolution keeps the channels; the second comes after enlarging."""
    change = convolution(x, x.shape[-1], f"{name}_a", use_bias=False)
    change = _normed_relu(change, f"{name}_a")
    if x.shape[1:3] != size:
        change = layers.Resizing(*size, "nearest")(change)
        x = layers.Resizing(*size, "nearest")(x)
    change = convolution(change, filters, f"{name}_b", use_bias=False)
    change = FusedBatchNormalization(name=f"{name}_b_norm")(change)
    if x.shape[-1] != filters:
        x = convolution(x, filters, f"{name}_short", 1, use_bias=False)
        x = FusedBatchNormalization(name=f"{name}_short_norm")(x)
    return layers.ReLU()(layers.Add(name=name)([change, x]))


NETWORKS = {"compact": compact, "resnet18": resnet18}
