"""The conditional VAE with one level of latents.

    loss       = distortion + beta * rate
    distortion = -log p(x | z, y), summed over pixels and channels
    rate       = KL(q(z | x, y) || p(z)), summed over latents

in nats per image, averaged over the images x with their labels y. This is the beta-VAE
objective (Higgins et al. 2017, "beta-VAE"); it is the negative ELBO at beta = 1 (Kingma
and Welling 2014, "Auto-encoding variational Bayes"). The metric "negative_elbo" is this
sum.
"""

import contextlib
import re
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.kl_divergence import normal_kl, normal_kl_terms
from cvae_tf.layers import Sampling
from cvae_tf.likelihoods import bits_per_dimension
from train_tf.assertions import only_if, within
from train_tf.distributed import replicas
from train_tf.errors import InputError

TERMS = ("negative_elbo", "distortion", "rate", "bits_per_dim")


class LatentLevel(NamedTuple):
    """Posterior and prior of one level of latents, (batch, ..., latents)."""

    mean: tf.Tensor
    log_var: tf.Tensor
    prior_mean: tf.Tensor | float = 0.0
    prior_log_var: tf.Tensor | float = 0.0


@keras.saving.register_keras_serializable("cvae_tf")
class CVAE(keras.Model):
    """A conditional VAE of a functional encoder and decoder.

    Called with a pair, (images, labels), it returns the reconstruction, (batch, height,
    width, channels), float32 in [0, 1].

    Args:
        encoder: image[, label] -> mean and log variance of the latents.
        decoder: latents[, label] -> the likelihood's outputs.
        likelihood: a `cvae_tf.likelihoods.Likelihood`.
        classes: number of labels.
        beta: weight of the rate.
        seed: integer seed of the latents' noise.

    Example:
        >>> model = CVAE(encoder, decoder, Gaussian(), classes=10)
        >>> model.compile("adam")
        >>> model.fit(images, labels)  # images in [0, 1], labels from 0 to 9
        >>> eights = model.relabel(images, [8] * len(images))
    """

    submodels = ("encoder", "decoder", "likelihood")  # saved with the model
    details = ()  # further levels of latents, see `cvae_tf.ladder`

    def __init__(
        self, encoder, decoder, likelihood, classes, beta=1.0, seed=0, **settings
    ):
        # The networks keep the precision that they were built in; sums are in float32.
        super().__init__(**{**settings, "dtype": "float32"})
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.classes, self.beta, self.seed = classes, beta, seed
        self.image_shape = tuple(encoder.inputs[0].shape[1:])
        self.latents = encoder.outputs[0].shape[-1]
        likelihood.mean_over_batch = replicas.mean_over_replicas
        self.sample = Sampling(seed, name="sample")
        self.loss_tracker = keras.metrics.Mean("loss")
        self.trackers = {name: keras.metrics.Mean(name) for name in TERMS}
        for layer in (self.sample, likelihood):
            if not layer.built:
                layer.build(None)
        self.built = True  # as the encoder and the decoder are

    def call(self, inputs, training=False):
        outputs, _ = self.decode_posterior(*self.check(*inputs), training)
        return self.likelihood.mean(outputs)

    def decode_posterior(self, images, labels, training=False):
        """Encode, sample, decode.

        Returns:
            The likelihood's outputs, and a list of `LatentLevel`s.
        """
        mean, log_var = self.encode(images, labels, training)
        outputs = self.decode(self.sample(mean, log_var), labels, training)
        return outputs, [LatentLevel(mean, log_var)]

    def encode(self, images, labels, training=False):
        """Mean and log variance of the latents, (batch, latents) each."""
        return _call(self.encoder, images, labels, training)

    def decode(self, latents, labels, training=False):
        """The decoder's outputs for latents, (batch, latents), and labels."""
        return _call(self.decoder, latents, labels, training)

    def elbo_terms(self, images, labels, training=False):
        """Compute distortion, rate, their sum and bits/dim of each image.

        Args:
            images, labels: see `check`, also for errors.

        Returns:
            Dict of arrays, (batch,), by name: "distortion", "rate" and "negative_elbo"
            = distortion + beta * rate, in nats; and "bits_per_dim", without beta.
        """
        images, labels = self.check(images, labels)
        outputs, levels = self.decode_posterior(images, labels, training)
        return self.elbo_terms_of(images, outputs, levels, training)

    def elbo_terms_of(self, images, outputs, levels, training=False):
        """Compute `elbo_terms` from the results of `decode_posterior`."""
        distortion = self.likelihood(images, outputs, training=training)
        rate = sum(normal_kl(*level) for level in levels)
        negative_elbo = distortion + self.beta * rate
        bits = bits_per_dimension(  # a code length, hence without beta
            distortion + rate, self.image_shape, self.likelihood.is_density
        )
        return dict(zip(TERMS, (negative_elbo, distortion, rate, bits), strict=True))

    def rate_per_latent(self, images, labels):
        """The rate of each latent in nats: a list with (latents,) for each level.

        Averaged over the images and summed over the positions of a map.
        """
        _, levels = self.decode_posterior(*self.check(images, labels))
        rates = []
        for level in levels:
            terms = tf.reduce_mean(normal_kl_terms(*level), axis=0)
            rates.append(tf.reduce_sum(terms, axis=range(terms.ndim - 1)))
        return rates

    def relabel(self, images, labels):
        """Redraw images under other labels.

        Args:
            images, labels: see `check`, also for errors. An encoder that takes a label
                receives the requested one too.

        Returns:
            Images of the same shape, float32 in [0, 1].
        """
        images, labels = self.check(images, labels)
        mean, _ = self.encode(images, labels)
        return self.decode_image(mean, labels)

    def generate(self, labels, seeds=0):
        """Draw images of labels, with latents sampled from the prior.

        Args:
            labels: (batch,) or (batch, 1).
            seeds: an integer for each label, (batch,), or one for all. The same label
                and seed give the same image, whatever else is in the batch; the same
                seed gives the same latents, whatever the label.

        Returns:
            (batch, height, width, channels), float32 in [0, 1].
        """
        labels = self.check_labels(labels)
        seeds = tf.broadcast_to(tf.cast(seeds, tf.int32), tf.shape(labels))
        latents = tf.map_fn(
            lambda seed: tf.random.stateless_normal((self.latents,), [seed, 0]),
            seeds,
            fn_output_signature=tf.float32,
        )
        return self.decode_image(latents, labels)

    def decode_image(self, latents, labels):
        """Decode latents, (batch, latents), to images, float32 in [0, 1]."""
        labels = self.check_labels(labels)
        return self.likelihood.mean(self.decode(latents, labels))

    def check(self, images, labels):
        """Convert images to float32 and labels to int32, (batch,).

        Args:
            images: (batch, height, width, channels), in [0, 1].
            labels: class ids, (batch,) or (batch, 1).

        Raises:
            ValueError: if the images have another shape than the encoder's, or values
                outside of [0, 1], NaN among them; for labels see `check_labels`.
            tf.errors.InvalidArgumentError: instead, inside a compiled function.
        """
        images = tf.cast(images, tf.float32)
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"Expected images of shape (batch, *{self.image_shape}). Received: "
                f"{tuple(images.shape)}"
            )
        with _range_as_value_error():
            images = within("image", images, 0, 1)
        if self.jit_compile and not tf.executing_eagerly():
            # XLA, Keras's default on a GPU, drops assertions; a loss of NaN shows.
            fits = tf.reduce_all((images >= 0) & (images <= 1))
            images = tf.where(fits, images, np.nan)
        return images, self.check_labels(labels)

    def check_labels(self, labels):
        """Convert labels to int32, (batch,).

        Raises:
            ValueError: if they are not integers from 0 to classes - 1, or have another
                shape than (batch,) or (batch, 1).
            tf.errors.InvalidArgumentError: instead, inside a compiled function.
        """
        message = f"Expected labels from 0 to {self.classes - 1}, whole numbers."
        if not tf.is_tensor(labels):
            labels = np.asarray(labels)
            numbers = np.issubdtype(labels.dtype, np.number)
            if not (numbers and np.isin(labels, range(self.classes)).all()):
                raise ValueError(f"{message} Received: {labels.tolist()}")
            labels = tf.convert_to_tensor(labels)
        rank = labels.shape.rank
        if rank not in (None, 1) and not (rank == 2 and labels.shape[1] in (None, 1)):
            raise ValueError(
                "Expected labels of shape (batch,) or (batch, 1), not one-hot. "
                f"Received: {tuple(labels.shape)}"
            )
        labels = tf.reshape(labels, [-1])
        ids = tf.cast(labels, tf.int32)
        whole = tf.cast(ids, labels.dtype) == labels
        valid = tf.reduce_all(whole & (ids >= 0) & (ids < self.classes))
        with only_if(valid, message, "Received:", labels):
            return tf.identity(ids)

    @property
    def metrics(self):
        return [self.loss_tracker, *self.trackers.values()]

    def fit(self, *arguments, **settings):
        with _range_as_value_error():
            return super().fit(*arguments, **settings)

    def evaluate(self, *arguments, **settings):
        with _range_as_value_error():
            return super().evaluate(*arguments, **settings)

    def train_step(self, data):
        images, labels = images_and_labels(data)
        _, count = replicas.replica_context()  # the replicas' gradients are summed
        with tf.GradientTape(persistent=True) as tape:
            losses, terms = self.training_losses(images, labels)
            scaled = [self.optimizer.scale_loss(loss / count) for loss, _ in losses]
        if not self.optimizer.built:
            # Fix the order of variables: optimizer state is saved by position.
            self.optimizer.build(self.trainable_variables)
        gradients, variables = [], []
        for loss, (_, sources) in zip(scaled, losses, strict=True):
            gradients += tape.gradient(loss, sources)
            variables += sources
        self.optimizer.apply(gradients, variables)
        return self._track(tf.fill(tf.shape(labels), losses[0][0]), terms)

    def test_step(self, data):
        images, labels = images_and_labels(data)
        terms = self.elbo_terms(images, labels)
        return self._track(terms["negative_elbo"], terms)

    def training_losses(self, images, labels):
        """Compute what a training step minimises.

        Returns:
            A list of (loss, variables), with each trainable variable once; and the
            result of `elbo_terms`, to be reported.
        """
        terms = self.elbo_terms(images, labels, training=True)
        loss = tf.reduce_mean(terms["negative_elbo"])
        return [(loss, self.trainable_variables)], terms

    def save_own_variables(self, store):
        # Keras does not save the states of random generators.
        for number, state in enumerate(self._random_states):
            store[f"random_state_{number}"] = state

    def load_own_variables(self, store):
        for number, state in enumerate(self._random_states):
            state.assign(store[f"random_state_{number}"])

    @property
    def _random_states(self):
        return [v for v in self.variables if v.name == "seed_generator_state"]

    def get_config(self):
        settings = {name: getattr(self, name) for name in ("classes", "beta", "seed")}
        submodels = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in self.submodels
        }
        return {**super().get_config(), **settings, **submodels}

    @classmethod
    def from_config(cls, config):
        submodels = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in cls.submodels
        }
        return cls(**{**config, **submodels})

    def _track(self, loss, terms):
        self.loss_tracker.update_state(loss)
        for name, tracker in self.trackers.items():
            tracker.update_state(terms[name])
        # Return all metrics: Keras would average missing ones over workers unweighted.
        return self.get_metrics_result()


def images_and_labels(data):
    """Unpack a batch of Keras's; raise `ValueError` if it has sample weights."""
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError(
            "Expected only images and labels; every image counts the same. Received "
            "weights too, by sample_weight or class_weight."
        )
    return images, labels


def _call(network, inputs, labels, training):
    inputs = tf.cast(inputs, tf.float32)
    if len(network.inputs) == 2:  # Keras takes no mixture of tensors and arrays
        inputs = [inputs, tf.cast(labels, tf.int32)]
    return network(inputs, training=training)


@contextlib.contextmanager
def _range_as_value_error():
    """Convert a failed range assertion into an `InputError`, a `ValueError`."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        _, found, values = error.message.partition("Expected image from 0 to 1.")
        if not found:
            raise
        numbers = re.findall(r"nan|-?inf|-?\d[\d.e+-]*", values)
        lowest, highest = map(float, numbers[:2])
        raise InputError(f"{found} Received: {lowest:g} to {highest:g}") from None
