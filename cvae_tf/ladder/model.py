"""The conditional VAE with a style that goes with any label, and details below it."""

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from cvae_tf.layers import Sampling
from cvae_tf.likelihoods import Bernoulli, normal_kl
from cvae_tf.model import CVAE, Level, images_and_labels
from train_tf.distributed import replicas

FAKE = 0.1  # what the auxiliary_classifier's certainty that drawings are none counts
DISOBEDIENCE = 1000.0  # nats that it costs in `search_objective` if no label is obeyed


class LossWeights(NamedTuple):
    """What the parts of the loss beside the ELBO count, in nats of it.

    sketch: the sketch's own cross-entropy with the image.
    independence: how far the label reader's answer is from none at all.
    obedience: the auxiliary_classifier's cross_entropy at the label that was sent.
    recovery: the squared distance of a style from that of the sketch made of it.
    """

    sketch: float = 1.0
    independence: float = 20.0
    obedience: float = 5.0
    recovery: float = 5.0


@keras.saving.register_keras_serializable("cvae_tf")
class LadderCVAE(CVAE):
    """A conditional VAE whose label is obeyed.

    Above are a few numbers of style, which the encoder reads from the image alone.
    Style and label make a sketch. Below are maps of details, the coarsest first: what
    the picture still lacks. The variance of their prior comes from the picture so far,
    their posterior sees the image too, and a painter adds them to the picture (Sonderby
    et al. 2016, "Ladder variational autoencoders"). An image is relabelled by keeping
    its style and leaving the details at their prior's mean, which makes the picture the
    sketch.

    Two small networks beside see to it that the label, and nothing else, says what is
    drawn. The label reader learns to read the label from the style, and the encoder to
    leave it nothing (Lample et al. 2017, "Fader networks"). The auxiliary_classifier learns to read
    the labels of real images, and the decoder to draw sketches under wrong labels that
    it reads as sent, and whose style comes back when they are encoded (Mathieu et al.
    2016, "Disentangling factors of variation").

    No gradient goes from the details up to the sketch: the likelihood of the picture,
    with its small scale, would drown everything that the sketch has to learn.

    Args:
        encoder: image -> mean and log variance of the style.
        decoder: style, label -> logits of the sketch, features.
        likelihood, classes, beta, seed: as `CVAE`.
        details: for each map a `cvae_tf.networks.Details`, the coarsest first.
        latent_discriminator: style -> logits of the labels.
        auxiliary_classifier: image -> logits of the labels, and of being no real image.
        balance: a `LossWeights`.
        warm_up: training steps in which independence and obedience come to count.
    """

    parts = (*CVAE.parts, "details", "latent_discriminator", "auxiliary_classifier")

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
        balance=None,
        warm_up=600,
        **settings,
    ):
        super().__init__(encoder, decoder, likelihood, classes, beta, seed, **settings)
        # Lists of networks, because Keras does not save what stands in deeper ones.
        self.priors, self.posteriors, self.painters = (
            list(networks) for networks in zip(*details, strict=True)
        )
        self.latent_discriminator, self.auxiliary_classifier = (
            latent_discriminator,
            auxiliary_classifier,
        )
        self.balance, self.warm_up = LossWeights(*balance or ()), warm_up
        self.samples = [
            Sampling(seed + 2 + number, name=f"sample_details_{number + 1}")
            for number in range(len(self.priors))
        ]
        self.sketch_likelihood = Bernoulli(name="sketch_likelihood")
        self.draws = keras.random.SeedGenerator(seed + 1)
        for part in (*self.samples, self.sketch_likelihood):
            part.build(None)
        self.is_watched = any(self.balance[1:])  # or the side networks are not needed
        if self.is_watched:
            self.trackers = {
                **self.trackers,
                "label_accuracy": keras.metrics.Mean("label_accuracy"),
            }

    def decode_posterior(self, images, labels, training=False):
        outputs, levels, _, _ = self._pass(images, labels, training)
        return outputs, levels

    def picture(self, latents, labels):
        """What a style shows under labels: the sketch, to which no detail is added."""
        logits, _ = self.decode(latents, self.check_labels(labels))
        return self.sketch_likelihood.mean(logits)

    def training_losses(self, images, labels):
        images, labels = self.check(images, labels)
        outputs, levels, style, sketch = self._pass(images, labels, training=True)
        terms = self.terms_of(images, outputs, levels, training=True)
        # Details that cost their full search_objective from the start are never taken into use,
        # and side networks that know nothing yet have nothing to teach.
        warmth = tf.cast(self.optimizer.iterations, tf.float32) / self.warm_up
        warmth = tf.minimum(1.0, warmth)
        of_details = sum(normal_kl(*level) for level in levels[1:])
        early = (1 - warmth) * self.beta * of_details
        sketched = self.balance.sketch * self.sketch_likelihood(images, sketch)
        loss = tf.reduce_mean(terms["negative_elbo"] - early + sketched)

        watching = [
            *self.latent_discriminator.trainable_variables,
            *self.auxiliary_classifier.trainable_variables,
        ]
        ids = {id(variable) for variable in watching}
        drawing = [v for v in self.trainable_variables if id(v) not in ids]
        if not self.is_watched:
            return [(loss, drawing)], terms
        beside, of_watching, terms["label_accuracy"] = self._watch(
            images, labels, levels[0].mean, style, warmth
        )
        return [(loss + beside, drawing), (of_watching, watching)], terms

    def _watch(self, images, labels, mean, style, warmth):
        """What the side networks see of a training step.

        Args:
            mean, style: of the images' latents, and drawn from them.
            warmth: how much independence and obedience count yet, from 0 to 1.

        Returns:
            The loss of the drawing networks, that of the side networks, and whether
            each label that was sent is obeyed, (batch,).
        """
        # A relabelled image is drawn from the mean.
        styles, wrong = self._styles_to_relabel(style), self._wrong_labels(labels)
        drawn = self._sketch(styles, wrong)
        read_in_style = self.latent_discriminator(mean)
        read_in_drawn = self.auxiliary_classifier(drawn, training=True)
        recovered, _ = self.encode(drawn, wrong, training=True)
        away = tf.square(recovered - tf.stop_gradient(styles))
        _, independence, obedience, recovery = self.balance
        beside = tf.reduce_mean(
            independence * warmth * kl_from_uniform(read_in_style)
            + obedience * warmth * cross_entropy(wrong, read_in_drawn)
            + recovery * tf.reduce_sum(away, axis=-1)
        )
        unreal = tf.fill(tf.shape(labels), self.classes)
        of_watching = tf.reduce_mean(
            cross_entropy(labels, read_in_style)
            + cross_entropy(labels, self.auxiliary_classifier(images, training=True))
            + warmth * FAKE * cross_entropy(unreal, read_in_drawn)
        )
        return beside, of_watching, self._obeyed(read_in_drawn, wrong)

    def test_step(self, data):
        """As the `CVAE`'s; the images' own styles are relabelled, no others."""
        if not self.is_watched:
            return super().test_step(data)
        images, labels = self.check(*images_and_labels(data))
        replica, count = replicas.replica_context()
        rows = tf.range(tf.shape(labels)[0]) * count + replica
        wrong = (labels + 1 + rows % (self.classes - 1)) % self.classes
        answers = self.auxiliary_classifier(self.relabel(images, wrong))
        terms = self.elbo_terms(images, labels)
        obeyed = {"label_accuracy": self._obeyed(answers, wrong)}
        return self._track(terms["negative_elbo"], terms | obeyed)

    def get_metrics_result(self):
        """As Keras's, and if labels are watched, two figures that `CVAE` does not have.

        "label_accuracy" is how often the auxiliary_classifier reads a relabelled image as the label that was
        sent; it is trained beside, and no judge. "search_objective" is the negative ELBO at beta
        1, and `DISOBEDIENCE` for what is not obeyed.
        """
        figures = super().get_metrics_result()
        if not self.is_watched:
            return figures
        disobeyed = 1 - figures["label_accuracy"]
        search_objective = (
            figures["distortion"] + figures["rate"] + DISOBEDIENCE * disobeyed
        )
        return {**figures, "search_objective": search_objective}

    def _obeyed(self, answers, sent):
        """1 where the auxiliary_classifier's answers, (batch, classes + 1), are the labels sent."""
        read = tf.argmax(answers[:, : self.classes], -1, sent.dtype)
        return tf.cast(read == sent, tf.float32)

    def _styles_to_relabel(self, style):
        """Those of the images, but every other one from the prior.

        Else the decoder would never see most of the prior, and draw nothing there.
        """
        replica, count = replicas.replica_context()
        rows, latents = tf.shape(style)[0], style.shape[-1]
        odd = (tf.range(rows)[:, None] * count + replica) % 2 == 1
        prior = keras.random.normal((rows * count, latents), seed=self.draws)
        return tf.where(odd, prior[replica::count], style)

    @property
    def details(self):
        """Prior, posterior and painter of each map of details, the coarsest first."""
        return list(zip(self.priors, self.posteriors, self.painters, strict=True))

    def get_config(self):
        own = {"balance": list(self.balance), "warm_up": self.warm_up}
        return {**super().get_config(), **own}

    def _pass(self, images, labels, training):
        mean, log_var = self.encode(images, labels, training)
        style = self.sample(mean, log_var)
        logits, features = self.decode(style, labels, training)
        features = tf.stop_gradient(features)
        sketch = tf.stop_gradient(self.sketch_likelihood.mean(logits))
        location, levels = self.likelihood.locate(sketch), [Level(mean, log_var)]
        for (prior, posterior, painter), sample in zip(
            self.details, self.samples, strict=True
        ):
            picture = self.likelihood.picture(location)
            context, prior_log_var = prior([features, picture], training=training)
            of_image = posterior([images, labels, context, picture], training=training)
            drawn = [sample(*of_image), context, location]
            outputs = painter(drawn, training=training)
            location = outputs[..., : self.image_shape[-1]]
            levels.append(Level(*of_image, 0.0, prior_log_var))
        return outputs, levels, style, logits

    def _sketch(self, style, labels):
        logits, _ = self.decode(style, labels, training=True)
        return self.sketch_likelihood.mean(logits)

    def _wrong_labels(self, labels):
        replica, count = replicas.replica_context()
        steps = keras.random.randint(
            tf.shape(labels) * count, 1, self.classes, "int32", seed=self.draws
        )
        return (labels + steps[replica::count]) % self.classes


def kl_from_uniform(logits):
    """KL(uniform || softmax(logits)) of each row, nats, (batch,)."""
    classes = logits.shape[-1]
    return -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1) - math.log(classes)


def cross_entropy(labels, logits):
    """Cross-entropy of each answer with its label, nats, (batch,)."""
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
