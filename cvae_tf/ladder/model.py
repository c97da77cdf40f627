"""`LadderCVAE`, the hierarchical VAE `compact`: relabelling, training step, metrics."""

import dataclasses

import keras
import tensorflow as tf

from cvae_tf.kl_divergence import normal_kl
from cvae_tf.ladder.losses import (
    FAKE_WEIGHT,
    LossWeights,
    cross_entropy,
    kl_from_uniform,
)
from cvae_tf.ladder.networks import DetailLevel
from cvae_tf.layers import Sampling
from cvae_tf.likelihoods import Bernoulli
from cvae_tf.model import CVAE, LatentLevel, images_and_labels
from train_tf.distributed import replicas

AUXILIARY_LABEL_ACCURACY = "auxiliary_label_accuracy"  # of the auxiliary classifier
LABEL_ERROR_COST = 1000.0  # nats per image if no relabelled image follows its label


@keras.saving.register_keras_serializable("cvae_tf")
class LadderCVAE(CVAE):
    """A conditional VAE with a style vector on top and maps of detail latents below.

    The encoder computes the style from only the image, the coarse decoder a coarse
    image from style and label. The detail levels, the coarsest first, refine this
    reconstruction: the prior computes the details' variance from the coarse decoder's
    features and the current reconstruction, the posterior also sees the image, and the
    decoder adds the details.

    To relabel an image, its style is decoded under the requested label, and the details
    stay at the mean of their prior, zero. The result is the coarse image.

    The loss is in `cvae_tf.ladder.losses`.

    Args:
        encoder: image -> mean and log variance of the style.
        decoder: the coarse decoder: style, label -> logits of the coarse image,
            features.
        likelihood, classes, beta, seed: see `CVAE`.
        details: a `DetailLevel` for each map, the coarsest first.
        latent_discriminator: style -> logits of the labels.
        auxiliary_classifier: image -> logits of the labels, and of "not a real image".
        loss_weights: a `LossWeights`, or a dict of its values by name.
        loss_warm_up_steps: number of training steps in which terms are phased in.
    """

    submodels = (
        *CVAE.submodels,
        "details",
        "latent_discriminator",
        "auxiliary_classifier",
    )

    def __init__(
        self,
        encoder,
        decoder,
        likelihood,
        classes,
        details,
        latent_discriminator,
        auxiliary_classifier,
        beta=1.0,
        seed=0,
        loss_weights=None,
        loss_warm_up_steps=600,
        **settings,
    ):
        super().__init__(encoder, decoder, likelihood, classes, beta, seed, **settings)
        # Keras saves lists of models, but not what is nested deeper.
        self.priors, self.posteriors, self.detail_decoders = (
            list(models) for models in zip(*details, strict=True)
        )
        self.latent_discriminator = latent_discriminator
        self.auxiliary_classifier = auxiliary_classifier
        if not isinstance(loss_weights, LossWeights):
            loss_weights = LossWeights(**loss_weights or {})
        self.loss_weights, self.loss_warm_up_steps = loss_weights, loss_warm_up_steps
        self.samples = [
            Sampling(seed + 2 + number, name=f"sample_details_{number + 1}")
            for number in range(len(self.priors))
        ]
        self.coarse_likelihood = Bernoulli(name="coarse_likelihood")
        self.generator = keras.random.SeedGenerator(seed + 1)
        for layer in (*self.samples, self.coarse_likelihood):
            layer.build(None)
        weights = loss_weights
        self.has_relabelling_terms = any(
            (weights.adversarial, weights.label, weights.cycle)
        )
        if self.has_relabelling_terms:
            tracker = keras.metrics.Mean(AUXILIARY_LABEL_ACCURACY)
            self.trackers = {**self.trackers, AUXILIARY_LABEL_ACCURACY: tracker}

    @property
    def details(self):
        levels = zip(self.priors, self.posteriors, self.detail_decoders, strict=True)
        return [DetailLevel(*level) for level in levels]

    def decode_posterior(self, images, labels, training=False):
        outputs, levels, _, _ = self._encode_and_decode(images, labels, training)
        return outputs, levels

    def decode_image(self, latents, labels):
        """The coarse images of styles, (batch, latents), under labels."""
        return self._coarse_image(latents, self.check_labels(labels))

    def training_losses(self, images, labels):
        images, labels = self.check(images, labels)
        outputs, levels, style, coarse = self._encode_and_decode(
            images, labels, training=True
        )
        terms = self.elbo_terms_of(images, outputs, levels, training=True)
        step = tf.cast(self.optimizer.iterations, tf.float32)
        warm_up_factor = tf.minimum(1.0, step / self.loss_warm_up_steps)
        detail_rate = sum(normal_kl(*level) for level in levels[1:])
        warm_up_discount = (1 - warm_up_factor) * self.beta * detail_rate
        coarse_term = self.loss_weights.coarse * self.coarse_likelihood(images, coarse)
        loss = tf.reduce_mean(terms["negative_elbo"] - warm_up_discount + coarse_term)

        classifiers = [
            *self.latent_discriminator.trainable_variables,
            *self.auxiliary_classifier.trainable_variables,
        ]
        ids = {id(variable) for variable in classifiers}
        vae = [v for v in self.trainable_variables if id(v) not in ids]
        if not self.has_relabelling_terms:
            return [(loss, vae)], terms
        relabelling_terms, classifier_loss, accuracy = self._relabelling_terms(
            images, labels, levels[0].mean, style, warm_up_factor
        )
        terms[AUXILIARY_LABEL_ACCURACY] = accuracy
        return [(loss + relabelling_terms, vae), (classifier_loss, classifiers)], terms

    def _relabelling_terms(self, images, labels, mean, style, warm_up_factor):
        """Compute the terms (3) to (6) of `cvae_tf.ladder.losses`.

        Args:
            mean, style: mean and sample of the images' style, (batch, latents).
            warm_up_factor: from 0 to 1.

        Returns:
            The sum of (3) to (5), a scalar; the loss (6), a scalar; and 1 for each
            relabelled image for which the auxiliary classifier predicts the requested
            label, else 0, (batch,).
        """
        styles, wrong = self._styles_to_relabel(style), self._wrong_labels(labels)
        relabelled = self._coarse_image(styles, wrong, training=True)
        style_logits = self.latent_discriminator(mean)
        image_logits = self.auxiliary_classifier(relabelled, training=True)
        cycled, _ = self.encode(relabelled, wrong, training=True)
        distance = tf.square(cycled - tf.stop_gradient(styles))
        weights = self.loss_weights
        relabelling_terms = tf.reduce_mean(
            weights.adversarial * warm_up_factor * kl_from_uniform(style_logits)
            + weights.label * warm_up_factor * cross_entropy(wrong, image_logits)
            + weights.cycle * tf.reduce_sum(distance, axis=-1)
        )
        fake = tf.fill(tf.shape(labels), self.classes)
        classifier_loss = tf.reduce_mean(
            cross_entropy(labels, style_logits)
            + cross_entropy(labels, self.auxiliary_classifier(images, training=True))
            + warm_up_factor * FAKE_WEIGHT * cross_entropy(fake, image_logits)
        )
        return (
            relabelling_terms,
            classifier_loss,
            self._is_predicted_as(image_logits, wrong),
        )

    def test_step(self, data):
        """Add "auxiliary_label_accuracy" of images relabelled with their own styles."""
        if not self.has_relabelling_terms:
            return super().test_step(data)
        images, labels = self.check(*images_and_labels(data))
        replica, count = replicas.replica_context()
        rows = tf.range(tf.shape(labels)[0]) * count + replica
        wrong = (labels + 1 + rows % (self.classes - 1)) % self.classes
        logits = self.auxiliary_classifier(self.relabel(images, wrong))
        terms = self.elbo_terms(images, labels)
        terms[AUXILIARY_LABEL_ACCURACY] = self._is_predicted_as(logits, wrong)
        return self._track(terms["negative_elbo"], terms)

    def get_metrics_result(self):
        """Add "search_objective" to the metrics, if the loss has relabelling terms.

        It is the negative ELBO at beta 1, plus `LABEL_ERROR_COST` times the share of
        relabelled images for which the auxiliary classifier does not predict the
        requested label. That classifier is trained with the VAE: no independent
        evaluation.
        """
        metrics = super().get_metrics_result()
        if not self.has_relabelling_terms:
            return metrics
        label_error = 1 - metrics[AUXILIARY_LABEL_ACCURACY]
        search_objective = (
            metrics["distortion"] + metrics["rate"] + LABEL_ERROR_COST * label_error
        )
        return {**metrics, "search_objective": search_objective}

    def get_config(self):
        weights = dataclasses.asdict(self.loss_weights)
        config = super().get_config()
        return {
            **config,
            "loss_weights": weights,
            "loss_warm_up_steps": self.loss_warm_up_steps,
        }

    def _encode_and_decode(self, images, labels, training):
        """`decode_posterior`, then the style and the logits of the coarse image."""
        mean, log_var = self.encode(images, labels, training)
        style = self.sample(mean, log_var)
        coarse, features = self.decode(style, labels, training)
        features = tf.stop_gradient(features)
        image = tf.stop_gradient(self.coarse_likelihood.mean(coarse))
        location = self.likelihood.to_location(image)
        levels = [LatentLevel(mean, log_var)]
        for level, sample in zip(self.details, self.samples, strict=True):
            image = self.likelihood.to_image(location)
            context, prior_log_var = level.prior([features, image], training=training)
            posterior = level.posterior(
                [images, labels, context, image], training=training
            )
            outputs = level.decoder(
                [sample(*posterior), context, location], training=training
            )
            location = outputs[..., : self.image_shape[-1]]
            levels.append(LatentLevel(*posterior, 0.0, prior_log_var))
        return outputs, levels, style, coarse

    def _coarse_image(self, style, labels, training=False):
        logits, _ = self.decode(style, labels, training)
        return self.coarse_likelihood.mean(logits)

    def _styles_to_relabel(self, style):
        """Replace the styles of odd rows by samples of the prior.

        Otherwise most of the prior would never be decoded in training.
        """
        replica, count = replicas.replica_context()
        rows, latents = tf.shape(style)[0], style.shape[-1]
        odd = (tf.range(rows)[:, None] * count + replica) % 2 == 1
        prior = keras.random.normal((rows * count, latents), seed=self.generator)
        return tf.where(odd, prior[replica::count], style)

    def _wrong_labels(self, labels):
        replica, count = replicas.replica_context()
        steps = keras.random.randint(
            tf.shape(labels) * count, 1, self.classes, "int32", seed=self.generator
        )
        return (labels + steps[replica::count]) % self.classes

    def _is_predicted_as(self, logits, labels):
        """1 where the auxiliary classifier predicts the label, else 0."""
        predicted = tf.argmax(logits[:, : self.classes], -1, labels.dtype)
        return tf.cast(predicted == labels, tf.float32)
