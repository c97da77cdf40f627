"""Scores of relabelling: of a perfect relabeller, and of one that does nothing."""

import numpy as np
import pytest
from tiny import run_eagerly

from cvae_tf.data import load_images, to_float
from cvae_tf.evaluation import scores
from cvae_tf.evaluation.scores import as_text, leakage, score


class Unchanged:
    """Returns every image as it is, and encodes its label."""

    dataset = "mnist"

    def relabel(self, images, labels):
        return images

    def encode(self, images, labels):
        return np.eye(10, dtype="float32")[labels]


class Perfect(Unchanged):
    """Returns a real image of the requested label, and encodes noise."""

    def __init__(self, split):
        self.images = to_float(split.images).numpy()
        self.rows = [np.flatnonzero(split.labels == label) for label in range(10)]

    def relabel(self, images, labels):
        return self.images[[self.rows[label][0] for label in labels]]

    def encode(self, images, labels):
        return np.random.default_rng(0).normal(size=(len(images), 4)).astype("f")


class Oracle:
    """A classifier that knows the label of each image of a split."""

    def __init__(self, split):
        self.labels = {
            to_float(image).numpy().tobytes(): label
            for image, label in zip(split.images, split.labels, strict=True)
        }

    def predict(self, images, **settings):
        return np.eye(10)[[self.labels[image.tobytes()] for image in images]]


@pytest.fixture(scope="module")
def images(small_sets):
    return load_images("mnist", small_sets)


def test_unchanged_images_show_the_true_label_in_full_style(images):
    result = score(Unchanged(), Oracle(images.test), images)
    assert (result["label_accuracy"], result["source_accuracy"]) == (0, 1)
    assert list(result["style"].values()) == pytest.approx([1, 1, 1])
    assert result["sharpness"] == 1
    assert result["leakage"] > 0.95


def test_perfect_relabeller_shows_the_requested_label_and_leaks_nothing(images):
    result = score(Perfect(images.test), Oracle(images.test), images)
    assert (result["label_accuracy"], result["source_accuracy"]) == (1, 0)
    assert all(abs(value) < 0.3 for value in result["style"].values())
    assert result["leakage"] < 0.3


def test_leakage_is_the_same_each_time(images, monkeypatch):
    classifiers, build = [], scores.latent_discriminator
    monkeypatch.setattr(
        scores,
        "latent_discriminator",
        lambda *x: classifiers.append(build(*x)) or classifiers[-1],
    )
    with run_eagerly():
        for _ in range(2):
            leakage(Perfect(images.test), images, epochs=2)
    first, second = (classifier.get_weights() for classifier in classifiers)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_text_has_every_score():
    text = as_text(
        {
            "images": {"test": 10_000},
            "classifier_accuracy": 0.995,
            "classes": 10,
            "label_accuracy": 0.9,
            "source_accuracy": 0.05,
            "style": {"ink": 0.91},
            "sharpness": 0.87,
            "leakage": 0.56,
        }
    )
    for part in ("10,000", "99.5%", "90.0%", "5.0%", "ink 0.91", "0.87", "56.0%"):
        assert part in text
    assert "chance 10%" in text
