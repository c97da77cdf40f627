"""Scores of relabelling: label accuracy, style, sharpness, leakage."""

import keras
import numpy as np

from cvae_tf.data import to_float, wrong_labels
from cvae_tf.evaluation.classifier import predict_labels
from cvae_tf.evaluation.style import STYLE_MEASURES, correlations, sharpness
from cvae_tf.ladder.networks import latent_discriminator
from train_tf.data.datasets import DATASETS


def score(relabeller, classifier, data, seed=0):
    """Relabel every test image with a wrong label, and measure the results.

    Args:
        relabeller: an object with `dataset`, `relabel` and `encode` of `Relabeller`.
        classifier: images in [0, 1] -> logits of the labels.
        data: `cvae_tf.data.LabelledImages`.
        seed: integer seed of the wrong labels.

    Returns:
        "label_accuracy" and "source_accuracy": share of relabelled images for which the
        classifier predicts the requested label, and the true label;
        "style": dict of correlations by name, see `cvae_tf.evaluation.style`;
        "sharpness": sharpness of relabelled images / sharpness of real images;
        "leakage": see `leakage`.
    """
    labels, classes = data.test.labels, len(data.class_names)
    requested = wrong_labels(labels, classes, seed)
    before = to_float(data.test.images).numpy()
    after = relabeller.relabel(before, requested)
    predicted = predict_labels(classifier, after)
    measure = STYLE_MEASURES[DATASETS[relabeller.dataset].cvae.style_measures]
    return {
        "label_accuracy": float(np.mean(predicted == requested)),
        "source_accuracy": float(np.mean(predicted == labels)),
        "style": correlations(measure(before), measure(after), labels, requested),
        "sharpness": sharpness(after) / sharpness(before),
        "leakage": leakage(relabeller, data, seed),
    }


def leakage(relabeller, data, seed=0, epochs=20):
    """Test accuracy of a new classifier that predicts the label from the latents.

    Args:
        relabeller, data: see `score`.
        seed: integer seed of the classifier.
        epochs: epochs of its training on the latents of the training images.
    """
    keras.utils.set_random_seed(seed)
    training, test = (
        relabeller.encode(to_float(split.images).numpy(), split.labels)
        for split in (data.train, data.test)
    )
    classifier = latent_discriminator(training.shape[-1], len(data.class_names))
    classifier.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    classifier.fit(
        training, data.train.labels, batch_size=500, epochs=epochs, verbose=0
    )
    metrics = classifier.evaluate(test, data.test.labels, verbose=0, return_dict=True)
    return metrics["accuracy"]


def as_text(scores):
    """Format the scores of `cvae_tf.relabel.evaluate_relabelling` as text."""
    style = ", ".join(f"{name} {value:.2f}" for name, value in scores["style"].items())
    return (
        f"{scores['images']['test']:,} test images under a wrong label "
        f"(accuracy of the classifier {scores['classifier_accuracy']:.1%})\n"
        f"  label accuracy      {scores['label_accuracy']:.1%} (the requested label)\n"
        f"  source accuracy     {scores['source_accuracy']:.1%} (the true label)\n"
        f"  style correlation   {style}\n"
        f"  sharpness           {scores['sharpness']:.2f} relative to the real images\n"
        f"  leakage             {scores['leakage']:.1%} (a classifier predicts the "
        f"label from the latents; chance {1 / scores['classes']:.0%})"
    )
