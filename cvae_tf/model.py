"""The conditional VAE: one evidence lower bound (ELBO), trained, tested and reported.

negative ELBO = distortion + beta * rate, in nats per image: the distortion is
-log p(x | z, label), summed over pixels; the rate is KL(q(z | x, label) || p(z)),
summed over latents; both are averaged over the images.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.layers import Sampling
from cvae_tf.likelihoods import bits_per_dimension, normal_kl, normal_kl_terms
from train_tf.distributed import replicas

TERMS = ("negative_elbo", "distortion", "rate", "bits_per_dim")


class Level(NamedTuple):
    """Posterior and prior of one level of latents, (batch, ..., latents)."""

    mean: tf.Tensor
    log_var: tf.Tensor
    prior_mean: tf.Tensor | float = 0.0
    prior_log_var: tf.Tensor | float = 0.0


@keras.saving.register_keras_serializable("cvae_tf")
class CVAE(keras.Model):
    """A conditional VAE of a functional encoder and decoder.

    Called with images and labels it gives the reconstruction, (batch, height, width,
    channels), float32 in [0, 1].

    Args:
        encoder: image, label -> mean and log variance of the latents; it may go
            without label.
        decoder: latents, label -> the likelihood's outputs; it may go without label.
        likelihood: one of `cvae_tf.likelihoods.LIKELIHOODS`.
        classes: how many labels there are.
        beta: what a nat of rate costs.
        seed: what the draws of latents follow from.
    """

    parts = ("encoder", "decoder", "likelihood")  # what is saved with the settings
    details = ()  # further levels, which `cvae_tf.ladder.model` has

    def __init__(
        self, encoder, decoder, likelihood, classes, beta=1.0, seed=0, **settings
    ):
        # The networks compute in the precision that they were built in, the sums here
        # in float32.
        super().__init__(**{**settings, "dtype": "float32"})
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.classes, self.beta, self.seed = classes, beta, seed
        self.image_shape = tuple(encoder.inputs[0].shape[1:])
        self.latents = encoder.outputs[0].shape[-1]
        likelihood.mean_over_batch = replicas.mean_over_replicas
        self.sample = Sampling(seed, name="sample")
        self.loss_tracker = keras.metrics.Mean("loss")
        self.trackers = {name: keras.metrics.Mean(name) for name in TERMS}
        for part in (self.sample, likelihood):
            if not part.built:
                part.build(None)
        self.built = True  # as its parts are

    def call(self, inputs, training=False):
        outputs, _ = self.decode_posterior(*self.check(*inputs), training)
        return self.likelihood.mean(outputs)

    def decode_posterior(self, images, labels, training=False):
        """Encode, draw, decode.

        Returns:
            The likelihood's outputs, and a `Level` for each level of latents.
        """
        mean, log_var = self.encode(images, labels, training)
        outputs = self.decode(self.sample(mean, log_var), labels, training)
        return outputs, [Level(mean, log_var)]

    def encode(self, images, labels, training=False):
        """Mean and log variance of the latents of images and labels."""
        return _call(self.encoder, images, labels, training)

    def decode(self, latents, labels, training=False):
        """What the decoder makes of latents and labels."""
        return _call(self.decoder, latents, labels, training)

    def elbo_terms(self, images, labels, training=False):
        """The ELBO of each image, and what it is made of.

        Args:
            images: (batch, height, width, channels), in [0, 1].
            labels: whole numbers, (batch,) or (batch, 1).

        Returns:
            Name to (batch,): "distortion", "rate", "negative_elbo", in nats, and
            "bits_per_dim".
        """
        images, labels = self.check(images, labels)
        outputs, levels = self.decode_posterior(images, labels, training)
        return self.terms_of(images, outputs, levels, training)

    def terms_of(self, images, outputs, levels, training=False):
        """As `elbo_terms`, of what `decode_posterior` gave."""
        distortion = self.likelihood(images, outputs, training=training)
        rate = sum(normal_kl(*level) for level in levels)
        negative_elbo = distortion + self.beta * rate
        bits = bits_per_dimension(  # a code's length, which beta does not change
            distortion + rate, self.image_shape, self.likelihood.is_density
        )
        return dict(zip(TERMS, (negative_elbo, distortion, rate, bits), strict=True))

    def rate_per_latent(self, images, labels):
        """The rate of each latent by itself, a list of (latents,) for each level.

        Averaged over the images and summed over places; nats.
        """
        _, levels = self.decode_posterior(*self.check(images, labels))
        rates = []
        for level in levels:
            of_image = tf.reduce_mean(normal_kl_terms(*level), axis=0)
            rates.append(tf.reduce_sum(of_image, axis=range(of_image.ndim - 1)))
        return rates

    def relabel(self, images, labels):
        """The pictures of images as if they had had other labels.

        Args:
            images: (batch, height, width, channels), in [0, 1].
            labels: what is asked for, (batch,) or (batch, 1).

        Returns:
            (batch, height, width, channels), float32 in [0, 1].
        """
        images, labels = self.check(images, labels)
        mean, _ = self.encode(images, labels)
        return self.picture(mean, labels)

    def generate(self, labels, seeds=0):
        """Pictures of labels, drawn from the prior.

        Args:
            labels: (batch,) or (batch, 1).
            seeds: a whole number for each label, (batch,), or one for all. A label and
                its seed give the same picture, whatever else is in the batch; a seed
                gives pictures of the same latents, whatever the label.

        Returns:
            As `relabel`.
        """
        labels = self.check_labels(labels)
        seeds = tf.broadcast_to(tf.cast(seeds, tf.int32), tf.shape(labels))
        latents = tf.map_fn(
            lambda seed: tf.random.stateless_normal((self.latents,), [seed, 0]),
            seeds,
            fn_output_signature=tf.float32,
        )
        return self.picture(latents, labels)

    def picture(self, latents, labels):
        """What latents, (batch, latents), show under labels; returns as `relabel`."""
        labels = self.check_labels(labels)
        return self.likelihood.mean(self.decode(latents, labels))

    def check(self, images, labels):
        """Images as a float32 tensor and labels as `check_labels` gives them.

        Raises:
            ValueError: if the images have another shape than the encoder's.
        """
        images = tf.cast(images, tf.float32)
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"Expected images of shape (batch, *{self.image_shape}). Received: "
                f"{tuple(images.shape)}"
            )
        return images, self.check_labels(labels)

    def check_labels(self, labels):
        """Labels as int32, (batch,).

        Raises:
            ValueError: if they are no whole numbers from 0 to classes - 1, or have
                another shape than (batch,) or (batch, 1).
            tf.errors.InvalidArgumentError: if that shows only in a graph.
        """
        message = f"Expected labels from 0 to {self.classes - 1}, whole numbers."
        if not tf.is_tensor(labels):
            labels = np.asarray(labels)
            whole = np.issubdtype(labels.dtype, np.number) and np.all(
                labels == np.floor(labels)
            )
            if not whole or np.any((labels < 0) | (labels >= self.classes)):
                raise ValueError(f"{message} Received: {labels.tolist()}")
            labels = tf.convert_to_tensor(labels)
        rank = labels.shape.rank
        if rank not in (None, 1) and not (rank == 2 and labels.shape[1] in (None, 1)):
            raise ValueError(
                "Expected labels of shape (batch,) or (batch, 1), not one-hot. "
                f"Received: {tuple(labels.shape)}"
            )
        numbers = tf.reshape(tf.cast(labels, tf.int32), [-1])
        checks = [
            tf.debugging.assert_non_negative(numbers, message),
            tf.debugging.assert_less(numbers, self.classes, message),
        ]
        if labels.dtype.is_floating:
            whole = tf.debugging.assert_equal(labels, tf.floor(labels), message)
            checks.append(whole)
        with tf.control_dependencies(checks):
            return tf.identity(numbers)

    @property
    def metrics(self):
        return [self.loss_tracker, *self.trackers.values()]

    def train_step(self, data):
        images, labels = images_and_labels(data)
        count = replicas.replica_context().replicas  # their gradients are added up
        with tf.GradientTape(persistent=True) as tape:
            losses, terms = self.training_losses(images, labels)
            scaled = [self.optimizer.scale_loss(loss / count) for loss, _ in losses]
        if not self.optimizer.built:
            # In this order, whatever order the losses list them in: it is saved by it.
            self.optimizer.build(self.trainable_variables)
        gradients, variables = [], []
        for loss, (_, of_loss) in zip(scaled, losses, strict=True):
            gradients += tape.gradient(loss, of_loss)
            variables += of_loss
        self.optimizer.apply(gradients, variables)
        return self._track(tf.fill(tf.shape(labels), losses[0][0]), terms)

    def test_step(self, data):
        images, labels = images_and_labels(data)
        terms = self.elbo_terms(images, labels)
        return self._track(terms["negative_elbo"], terms)

    def training_losses(self, images, labels):
        """What a training step lowers, and the terms that it reports.

        Returns:
            A list of losses, each with the variables that it is lowered by, and what
            `elbo_terms` gives. Each trainable variable is in one list.
        """
        terms = self.elbo_terms(images, labels, training=True)
        loss = tf.reduce_mean(terms["negative_elbo"])
        return [(loss, self.trainable_variables)], terms

    def save_own_variables(self, store):
        # Keras leaves out where random generators stand.
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
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part))
            for part in self.parts
        }
        return {**super().get_config(), **settings, **parts}

    @classmethod
    def from_config(cls, config):
        parts = {
            part: keras.saving.deserialize_keras_object(config[part])
            for part in cls.parts
        }
        return cls(**{**config, **parts})

    def _track(self, loss, terms):
        self.loss_tracker.update_state(loss)
        for name, tracker in self.trackers.items():
            tracker.update_state(terms[name])
        # All of them, or Keras takes the mean over workers, however few images one had.
        return self.get_metrics_result()


def images_and_labels(data):
    """What Keras hands to a training or test step, without weights.

    Raises:
        ValueError: if images or classes are weighted.
    """
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError(
            "Expected images and labels alone. Received weights of them too, by "
            "sample_weight or class_weight; every image counts the same here."
        )
    return images, labels


def _call(network, inputs, labels, training):
    """A network that may do without labels."""
    inputs = tf.cast(inputs, tf.float32)
    if len(network.inputs) == 2:  # Keras takes no mixture of tensors and arrays
        inputs = [inputs, tf.cast(labels, tf.int32)]
    return network(inputs, training=training)
