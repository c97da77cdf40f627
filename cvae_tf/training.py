"""CVAE training: its data, model, images for TensorBoard, results and SavedModel."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import data, report
from cvae_tf.build import build_cvae
from cvae_tf.config import CVAEOptions
from cvae_tf.model import TERMS
from cvae_tf.relabel import draw_wrong_labels, first_of_each, under_all_labels
from train_tf import devices
from train_tf.assertions import within
from train_tf.export import Signature, export
from train_tf.optimizers import FusedAdam
from train_tf.run import training
from train_tf.schedule import learning_rate

LOSS_WARM_UP = 0.06  # share of the training steps
CLIP = 1e4  # norm of all gradients; only the first steps come near it
SAMPLES_PER_CLASS = 6  # generated images in figures
ZOOM = 3  # enlarges the images in TensorBoard
PROJECTOR_IMAGES = 1000  # test images in TensorBoard's projector
RATE_IMAGES = 500  # test images that `rate_per_latent` is averaged over
# Options for searches and TensorBoard's HPARAMS.
TRACKED_OPTIONS = [field.name for field in dataclasses.fields(CVAEOptions)]
TRACKED_OPTIONS += ["epochs", "batch_size", "learning_rate", "schedule", "seed"]


def train(config):
    """Train a VAE from a `CVAEConfig`, or resume its run; export its best epoch.

    Returns:
        The content of results.json, with "test" and "validation" metrics; None on
        workers other than the chief.

    Raises:
        InputError: if data, options or run folder are invalid.

    Example:
        >>> results = train(CVAEConfig(dataset="mnist"))
        >>> results["test"]["negative_elbo"]
    """
    return training.train(config, CVAETask)


class CVAETask(training.Task):
    monitor, mode = "val_negative_elbo", "min"
    printed_metrics = {
        "loss": "loss",
        "val_negative_elbo": "validation -ELBO",
        "val_rate": "validation rate",
        "val_bits_per_dim": "validation bits/dim",
    }
    plotted_metrics = {"negative_elbo": "-ELBO, nats", "rate": "rate, nats"}
    next_command = "Evaluate it: python scripts/relabel_cvae.py --model {}"

    data_options = ("dataset", "data_dir", "seed")

    def __init__(self, config, reuse_data_from=None):
        super().__init__(config, reuse_data_from)
        self.data_identity = self.counts = self.data.counts
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
        options = {name: getattr(config, name) for name in TRACKED_OPTIONS}
        return {name: x for name, x in options.items() if x is not None}

    def build(self):
        config, steps = self.config, self.steps
        model = build_cvae(
            self.data.image_shape,
            self.classes,
            loss_warm_up_steps=max(1, round(LOSS_WARM_UP * steps * config.epochs)),
            **config.model_options,
        )
        optimizer = FusedAdam(learning_rate(config, steps), global_clipnorm=CLIP)
        # Keras would look at the precision of the model, which is float32.
        if model.encoder.compute_dtype == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer)
        return model

    def networks(self, model):
        details = [network for level in model.details for network in level]
        return [model.encoder, model.decoder, *details]

    def parameters_of(self, model):
        """Count parameters, without the networks that only training uses."""
        names = ("latent_discriminator", "auxiliary_classifier")
        for_training = (getattr(model, name, None) for name in names)
        return model.count_params() - sum(x.count_params() for x in for_training if x)

    def training_batches(self, epochs, replicas):
        return data.training_batches(self.data, self.config, epochs, replicas)

    def validation_batches(self, replicas):
        split = self.data.validation
        return data.evaluation_batches(split, self.config.batch_size, replicas)

    def images(self, model):
        originals, labels = self._first_of_each(self.data.validation)
        reconstructions = model((originals, labels)).numpy()
        relabelled = under_all_labels(model, originals, self.classes)
        tables = {
            "reconstructions": np.stack([originals, reconstructions]),
            "under_all_labels": np.concatenate([originals[:, None], relabelled], 1),
            "samples": samples(model, self.classes),
        }
        return {name: report.tile(x, ZOOM)[None] for name, x in tables.items()}

    def histograms(self, model):
        rates = model.rate_per_latent(*self._first_of_each(self.data.validation))
        names = [f"rate_details_{level + 1}" for level in range(len(model.details))]
        names = ["rate_style" if names else "rate", *names]
        return dict(zip(names, rates, strict=True))

    def results(self, model, run):
        test, names = self.data.test, self.data.class_names
        batches = data.evaluation_batches(test, self.config.batch_size)
        metrics = model.evaluate(batches, verbose=0, return_dict=True)
        originals, labels = self._first_of_each(test)
        report.draw_reconstructions(
            run.folder / "reconstructions.png",
            originals,
            model((originals, labels)).numpy(),
            samples(model, self.classes),
            names,
        )
        draw_wrong_labels(run.folder, model, test, names)
        images = data.to_float(test.images[:PROJECTOR_IMAGES]).numpy()
        labels = test.labels[:PROJECTOR_IMAGES]
        latents = model.encode(*model.check(images, labels))[0].numpy()
        folder = run.folder / "tensorboard/validation"
        report.write_projector(folder, latents, labels, images, names)
        rates = model.rate_per_latent(images[:RATE_IMAGES], labels[:RATE_IMAGES])
        maps = (level.posterior.outputs[0].shape[1:] for level in model.details)
        return {
            "latents": model.latents + sum(map(math.prod, maps)),
            "test": {name: metrics[name] for name in TERMS},
            "rate_per_latent": [np.round(rate, 3).tolist() for rate in rates],
        }

    def export(self, model):
        """Export in float32; see `train_tf.export`.

        Signatures: `serving_default` (image, label -> image under that label), `encode`
        (image, label -> latent_mean, latent_log_var), `decode` (latent, label -> image)
        and `generate` (label, seed -> image).

        Returns:
            The folder of the SavedModel's version.
        """
        config, dataset, classes = self.config, self.data, self.classes
        with devices.float32():
            served = build_cvae(dataset.image_shape, classes, **config.model_options)
        served.set_weights(model.get_weights())

        def relabel(image, label):
            return {"image": served.relabel(image, label)}

        def encode(image, label):
            mean, log_var = served.encode(*served.check(image, label))
            return {"latent_mean": mean, "latent_log_var": log_var}

        def decode(latent, label):
            return {"image": served.decode_image(within("latent", latent), label)}

        def generate(label, seed):
            return {"image": served.generate(label, seed)}

        ids = np.arange(classes, dtype="int32")
        examples = {
            "image": data.to_float(dataset.test.images[:classes]).numpy(),
            "latent": np.zeros((classes, served.latents), "float32"),
            "label": ids,
            "seed": ids,
        }

        def signature(function, *names):
            arrays = [examples[name] for name in names]
            specs = {
                name: tf.TensorSpec((None, *array.shape[1:]), array.dtype, name)
                for name, array in zip(names, arrays, strict=True)
            }
            return Signature(function, specs, arrays)

        folder, _ = export(
            config.saved_model_folder,
            {
                "serving_default": signature(relabel, "image", "label"),
                "encode": signature(encode, "image", "label"),
                "decode": signature(decode, "latent", "label"),
                "generate": signature(generate, "label", "seed"),
            },
            {
                "kind": "CVAE",
                "dataset": config.dataset,
                "image_shape": dataset.image_shape,
                "latents": served.latents,
                "class_names": dataset.class_names,
            },
        )
        return folder

    def summary(self, results):
        test = results["test"]
        return (
            f"{results['images']['test']:,} test images, nats per image: "
            f"-ELBO {test['negative_elbo']:.1f}, distortion {test['distortion']:.1f}, "
            f"rate {test['rate']:.1f}; {test['bits_per_dim']:.3f} bits/dim"
        )

    def _first_of_each(self, split):
        rows = first_of_each(split.labels, self.classes)
        return data.to_float(split.images[rows]).numpy(), split.labels[rows]


class CVAESearchTask(CVAETask):
    monitor = "val_search_objective"


def samples(model, classes):
    """Generate images: (SAMPLES_PER_CLASS, classes, height, width, channels)."""
    labels = np.tile(np.arange(classes, dtype="int32"), SAMPLES_PER_CLASS)
    images = model.generate(labels, np.arange(SAMPLES_PER_CLASS * classes)).numpy()
    return images.reshape(SAMPLES_PER_CLASS, classes, *images.shape[1:])
