"""Train a conditional VAE from a config: data, networks, run, report, SavedModel."""

import math

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import data, report
from cvae_tf.ladder.model import LadderCVAE, LossWeights
from cvae_tf.likelihoods import LIKELIHOODS
from cvae_tf.model import CVAE, TERMS
from cvae_tf.networks import NETWORKS, auxiliary_classifier, latent_discriminator
from cvae_tf.relabel import draw_wrong_labels, first_of_each, under_all_labels
from train_tf import devices
from train_tf.assertions import within
from train_tf.export import Signature, export
from train_tf.optimizers import FusedAdam
from train_tf.run import task as training
from train_tf.schedule import learning_rate

WARM_UP = 0.06  # share of the steps in which the loss gets all its parts
CLIP = 1e4  # of all gradients together: only the first steps come near it
SAMPLES = 6  # of each class, in pictures
ZOOM = 3  # of pictures in TensorBoard
PROJECTED = 1000  # test images in TensorBoard's projector
COMPARED = (  # options that searches and TensorBoard's table of runs show
    "dataset",
    "network",
    "likelihood",
    "decoder_label",
    "beta",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "seed",
)


def train(config):
    """Train a conditional VAE, or go on with its run, and export its best epoch.

    Args:
        config: a `CVAEConfig`.

    Returns:
        The results, as in results.json: "test" and "validation" figures among them; of
        several workers only the chief has them.

    Raises:
        InputError: if the data, the options or the run folder are not in order.

    Example:
        >>> results = train(CVAEConfig(dataset="mnist"))
        >>> results["test"]["negative_elbo"]
    """
    return training.train(config, CVAETask)


class CVAETask(training.Task):
    """A conditional VAE and its images."""

    monitor, mode = "val_negative_elbo", "min"
    shown = {
        "loss": "loss",
        "val_negative_elbo": "validation -ELBO",
        "val_rate": "rate",
        "val_bits_per_dim": "bits/dim",
    }
    curves = {"negative_elbo": "-ELBO, nats", "rate": "rate, nats"}
    use = "Judge it:    python scripts/wrong_labels.py --model {}"

    data_options = ("dataset", "data_dir", "seed")

    def __init__(self, config, like=None):
        super().__init__(config, like)
        self.split = self.counts = self.data.counts
        self.classes = len(self.data.class_names)
        self.inputs = (
            tf.TensorSpec((None, *self.data.image_shape), tf.float32, "image"),
            tf.TensorSpec((None,), tf.int32, "label"),
        )

    def load(self):
        config = self.config
        return data.load_images(config.dataset, config.data_dir, config.seed)

    @staticmethod
    def tracked_options(config):
        options = {name: getattr(config, name) for name in COMPARED}
        return options | config.sizes | {"label_accuracy": config.balance[2]}

    def build(self):
        steps, shape = self.steps, self.data.image_shape
        warm_up = max(1, round(WARM_UP * steps * self.config.epochs))
        model = build(self.config, shape, self.classes, warm_up)
        optimizer = FusedAdam(learning_rate(self.config, steps), global_clipnorm=CLIP)
        if model.encoder.compute_dtype == "float16":  # Keras looks at the model alone
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer)
        return model

    def networks(self, model):
        details = [network for level in model.details for network in level]
        return [model.encoder, model.decoder, *details]

    def parameters_of(self, model):
        return parameters_of(model)

    def training_batches(self, epochs, replicas):
        return data.training_batches(self.data, self.config, epochs, replicas)

    def validation_batches(self, replicas):
        part = self.data.validation
        return data.evaluation_batches(part, self.config.batch_size, replicas)

    def pictures(self, model):
        originals, labels = self._one_of_each(self.data.validation)
        again = model((originals, labels)).numpy()
        relabelled = under_all_labels(model, originals, self.classes)
        sheet = np.concatenate([originals[:, None], relabelled], axis=1)
        drawn = samples(model, self.classes)
        return {
            title: report.tile(pictures, ZOOM)[None]
            for title, pictures in (
                ("images, reconstructions", np.stack([originals, again])),
                ("images, and under each label", sheet),
                ("samples of each class", drawn),
            )
        }

    def histograms(self, model):
        rates = model.rate_per_latent(*self._one_of_each(self.data.validation))
        return {f"rate of latents, level {n + 1}": rate for n, rate in enumerate(rates)}

    def results(self, model, run):
        test, names = self.data.test, self.data.class_names
        batches = data.evaluation_batches(test, self.config.batch_size)
        figures = model.evaluate(batches, verbose=0, return_dict=True)
        originals, labels = self._one_of_each(test)
        report.draw_pairs(
            run.folder / "reconstructions.png",
            originals,
            model((originals, labels)).numpy(),
            samples(model, self.classes),
            names,
        )
        draw_wrong_labels(run.folder, model, test, names)
        shown = data.scaled(test.images[:PROJECTED]).numpy()
        latents, _ = model.encode(*model.check(shown, test.labels[:PROJECTED]))
        report.write_projector(
            run.folder / "tensorboard/validation",
            latents.numpy(),
            test.labels[:PROJECTED],
            shown,
            names,
        )
        some = slice(500)
        rates = model.rate_per_latent(data.scaled(test.images[some]), test.labels[some])
        maps = (posterior.outputs[0].shape[1:] for _, posterior, _ in model.details)
        return {
            "latents": model.latents + sum(map(math.prod, maps)),
            "test": {name: figures[name] for name in TERMS},
            "rate_per_latent": [np.round(rate, 3).tolist() for rate in rates],
        }

    def export(self, model):
        return export_cvae(model, self.config, self.data)

    def summary(self, results):
        test = results["test"]
        return (
            f"{results['images']['test']:,} test images, nats each: "
            f"-ELBO {test['negative_elbo']:.1f}, distortion {test['distortion']:.1f}, "
            f"rate {test['rate']:.1f}; {test['bits_per_dim']:.3f} bits/dim"
        )

    def _one_of_each(self, part):
        """The first image of each class, and their labels."""
        first = first_of_each(part.labels, self.classes)
        return data.scaled(part.images[first]).numpy(), part.labels[first]


class SearchedCVAETask(CVAETask):
    """A conditional VAE of which a search wants a good ELBO and obedience."""

    monitor = "val_search_objective"


def build(config, image_shape, classes, warm_up=1):
    """The conditional VAE that a `CVAEConfig` describes, in the global precision."""
    likelihood = LIKELIHOODS[config.likelihood]()
    networks = NETWORKS[config.network](
        image_shape,
        classes,
        likelihood.outputs_per_channel,
        config.decoder_label,
        **config.sizes,
    )
    settings = {"classes": classes, "beta": config.beta, "seed": config.seed}
    encoder, decoder, details = networks
    if not details:
        return CVAE(encoder, decoder, likelihood, **settings)
    return LadderCVAE(
        encoder,
        decoder,
        likelihood,
        details=details,
        latent_discriminator=latent_discriminator(
            encoder.outputs[0].shape[-1], classes
        ),
        auxiliary_classifier=auxiliary_classifier(image_shape, classes),
        balance=LossWeights(*config.balance),
        warm_up=warm_up,
        **settings,
    )


def parameters_of(model):
    """How many weights make pictures: without the networks that only training needs."""
    beside = [
        getattr(model, name, None)
        for name in ("latent_discriminator", "auxiliary_classifier")
    ]
    return model.count_params() - sum(one.count_params() for one in beside if one)


def export_cvae(model, config, images):
    """Export a conditional VAE in float32; see `train_tf.export`.

    Its signatures: `serving_default` (image, label -> image under that label), `encode`
    (image, label -> latent_mean, latent_log_var), `decode` (latent, label -> image) and
    `generate` (label, seed -> image).
    """
    shape, classes = images.image_shape, len(images.class_names)
    with devices.float32():
        served = build(config, shape, classes)
    served.set_weights(model.get_weights())

    def relabel(image, label):
        return {"image": served.relabel(within("image", image, 0, 1), label)}

    def encode(image, label):
        mean, log_var = served.encode(
            *served.check(within("image", image, 0, 1), label)
        )
        return {"latent_mean": mean, "latent_log_var": log_var}

    def decode(latent, label):
        return {"image": served.picture(within("latent", latent), label)}

    def generate(label, seed):
        return {"image": served.generate(label, seed)}

    specs = {
        "image": tf.TensorSpec((None, *shape), tf.float32, "image"),
        "latent": tf.TensorSpec((None, served.latents), tf.float32, "latent"),
        "label": tf.TensorSpec((None,), tf.int32, "label"),
        "seed": tf.TensorSpec((None,), tf.int32, "seed"),
    }
    examples = {
        "image": data.scaled(images.test.images[:classes]).numpy(),
        "latent": np.zeros((classes, served.latents), "float32"),
        "label": np.arange(classes, dtype="int32"),
        "seed": np.arange(classes, dtype="int32"),
    }

    def signature(function, *names):
        taken = {name: specs[name] for name in names}
        return Signature(function, taken, [examples[name] for name in names])

    place, _ = export(
        config.saved_models_dir / config.name,
        {
            "serving_default": signature(relabel, "image", "label"),
            "encode": signature(encode, "image", "label"),
            "decode": signature(decode, "latent", "label"),
            "generate": signature(generate, "label", "seed"),
        },
        {
            "kind": "CVAE",
            "dataset": config.dataset,
            "image_shape": shape,
            "latents": served.latents,
            "class_names": images.class_names,
        },
    )
    return place


def samples(model, classes):
    """Pictures drawn of each class: (rows, classes, height, width, channels)."""
    labels = np.tile(np.arange(classes, dtype="int32"), SAMPLES)
    pictures = model.generate(labels, np.arange(SAMPLES * classes)).numpy()
    return pictures.reshape(SAMPLES, classes, *pictures.shape[1:])
