"""Train a conditional VAE from a config: data, networks, run, report, SavedModel."""

import json
import time

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import data, report
from cvae_tf.ladder import Balance, LadderCVAE
from cvae_tf.likelihoods import LIKELIHOODS
from cvae_tf.model import CVAE, TERMS
from cvae_tf.networks import NETWORKS, critic, label_reader
from cvae_tf.wrong_label import draw_wrong_labels, first_of_each, under_all_labels
from train_tf import devices
from train_tf.callbacks import Progress, TensorBoard
from train_tf.command_line import to_dict
from train_tf.export import Signature, export
from train_tf.files import write_json
from train_tf.graph_checks import within
from train_tf.report import draw_curves, provenance
from train_tf.run import Run, fit
from train_tf.schedule import learning_rate

WARM_UP = 0.06  # share of the steps in which the loss gets all its parts
CLIP = 1e4  # of all gradients together: far above what is seen, far below overflow
SAMPLES = 6  # of each class, in pictures
COMPARED = (  # the options that TensorBoard's table of runs shows
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
        The results, as in results.json: "test" and "validation" figures among them.

    Raises:
        InputError: if the data, the options or the run folder are not in order.

    Example:
        >>> results = train(CVAEConfig(dataset="mnist"))
        >>> results["test"]["negative_elbo"]
    """
    started = time.monotonic()
    strategy = devices.set_up(config.precision, config.seed)
    images = data.load_images(config.dataset, config.data_dir, config.seed)
    steps = -(-images.counts["train"] // config.batch_size)
    with strategy.scope():
        warm_up = max(1, round(WARM_UP * steps * config.epochs))
        model = build(config, images.image_shape, len(images.class_names), warm_up)
        rate = learning_rate(config, steps)
        model.compile(keras.optimizers.Adam(rate, global_clipnorm=CLIP))
    devices.check_memory([model.encoder, model.decoder], config.batch_size)

    run = Run(config, monitor="val_negative_elbo", mode="min")
    run.keep("split.json", images.counts)
    print(f"Run: {run.folder} ({parameters_of(model):,} parameters)")
    results_file = run.folder / "results.json"
    if run.is_complete and results_file.exists():
        results = json.loads(results_file.read_text())
        print(f"It was complete after epoch {run.epochs_done}; --epochs extends it.")
        _print_summary(run, results)
        return results

    validation = data.evaluation_batches(images.validation, config.batch_size)
    fit(
        model,
        run,
        lambda epochs: data.training_batches(images, config, epochs),
        steps,
        validation,
        _watchers(run, images, steps),
    )

    run.load_best(model)
    results = _results(run, model, images)
    results["saved_model"] = str(export_cvae(model, config, images))
    results["minutes"] = round((time.monotonic() - started) / 60, 2)
    write_json(results_file, results)
    _print_summary(run, results)
    return results


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
        label_reader=label_reader(encoder.outputs[0].shape[-1], classes),
        critic=critic(image_shape, classes),
        balance=Balance(*config.balance),
        warm_up=warm_up,
        **settings,
    )


def parameters_of(model):
    """How many weights make pictures: without the networks that only training needs."""
    beside = [getattr(model, name, None) for name in ("label_reader", "critic")]
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


def _watchers(run, images, steps):
    shown = {
        "loss": "loss",
        "val_negative_elbo": "validation -ELBO",
        "val_rate": "rate",
        "val_bits_per_dim": "bits/dim",
    }
    classes = len(images.class_names)
    part = images.validation
    first = first_of_each(part.labels, classes)
    originals, labels = data.scaled(part.images[first]).numpy(), part.labels[first]

    def pictures(model):
        again = model((originals, labels)).numpy()
        relabelled = under_all_labels(model, originals, classes)
        sheet = np.concatenate([originals[:, None], relabelled], axis=1)
        return {
            "images, reconstructions": report.tile(np.stack([originals, again]))[None],
            "images, and under each label": report.tile(sheet)[None],
            "samples of each class": report.tile(samples(model, classes))[None],
        }

    def spreads(model):
        rates = model.latent_rates(originals, labels)
        return {f"rate of latents, level {n + 1}": rate for n, rate in enumerate(rates)}

    inputs = (
        tf.TensorSpec((None, *images.image_shape), tf.float32, "image"),
        tf.TensorSpec((None,), tf.int32, "label"),
    )
    return [
        Progress(run.epochs_done, run.config.epochs, steps, shown),
        TensorBoard(
            run.folder / "tensorboard",
            run.config.name,
            {name: getattr(run.config, name) for name in COMPARED} | run.config.sizes,
            "negative_elbo",
            inputs,
            pictures,
            spreads,
        ),
    ]


def samples(model, classes):
    """Pictures drawn of each class: (rows, classes, height, width, channels)."""
    labels = np.tile(np.arange(classes, dtype="int32"), SAMPLES)
    pictures = model.generate(labels, np.arange(SAMPLES * classes)).numpy()
    return pictures.reshape(SAMPLES, classes, *pictures.shape[1:])


def _results(run, model, images):
    """Figures of the best epoch on the test part, and pictures of it."""
    test = images.test
    batches = data.evaluation_batches(test, run.config.batch_size)
    figures = model.evaluate(batches, verbose=0, return_dict=True)
    classes = len(images.class_names)
    first = first_of_each(test.labels, classes)
    originals, labels = data.scaled(test.images[first]).numpy(), test.labels[first]
    report.draw_pairs(
        run.folder / "reconstructions.png",
        originals,
        model((originals, labels)).numpy(),
        samples(model, classes),
        images.class_names,
    )
    draw_wrong_labels(run.folder, model, test, images.class_names)
    curves = {"negative_elbo": "-ELBO, nats", "rate": "rate, nats"}
    draw_curves(run.folder / "curves.png", run.history, curves, run.best_epoch)
    some = slice(500)
    rates = model.latent_rates(data.scaled(test.images[some]), test.labels[some])
    best = run.history[run.best_epoch - 1]
    return {
        "config": to_dict(run.config),
        **provenance(),
        "images": images.counts,
        "parameters": parameters_of(model),
        "epochs": run.epochs_done,
        "best_epoch": run.best_epoch,
        "validation": {name: best[f"val_{name}"] for name in TERMS},
        "test": {name: figures[name] for name in TERMS},
        "rate_of_latents": [np.round(rate, 3).tolist() for rate in rates],
    }


def _print_summary(run, results):
    test, images = results["test"], results["images"]
    model = results["saved_model"]
    print(
        f"\nBest epoch {results['best_epoch']}, {results['minutes']:.1f} minutes\n\n"
        f"{images['test']:,} test images, nats each: "
        f"-ELBO {test['negative_elbo']:.1f}, distortion {test['distortion']:.1f}, "
        f"rate {test['rate']:.1f}; {test['bits_per_dim']:.3f} bits/dim\n\n"
        f"Pictures:    {run.folder}/wrong_labels.png, {run.folder}/all_labels.png,\n"
        f"             {run.folder}/reconstructions.png, {run.folder}/curves.png\n"
        f"SavedModel:  {model}\n"
        f"Watch it:    tensorboard --logdir {run.config.runs_dir}\n"
        f"Judge it:    python scripts/wrong_labels.py --model {model}"
    )
