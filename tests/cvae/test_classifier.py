"""The evaluation classifier: trained once, cached, retrained if code or data change."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from cvae_tf.data import load_images
from cvae_tf.evaluation import classifier as evaluation
from cvae_tf.evaluation.classifier import (
    accuracy_of,
    build_classifier,
    fingerprint,
    load_or_train_classifier,
)
from train_tf.data.datasets import DATASETS
from train_tf.errors import InputError


@pytest.fixture(scope="module")
def images(small_sets):
    return load_images("mnist", small_sets)


def set_size(monkeypatch, filters, epochs):
    cvae = dataclasses.replace(
        DATASETS["mnist"].cvae, classifier_filters=filters, classifier_epochs=epochs
    )
    spec = dataclasses.replace(DATASETS["mnist"], cvae=cvae)
    monkeypatch.setitem(DATASETS, "mnist", spec)


def folder_of(images, parent):
    cvae = DATASETS["mnist"].cvae
    size = (cvae.classifier_filters, cvae.classifier_epochs)
    return parent / f"mnist-{fingerprint(images.train, *size)}"


@pytest.fixture
def cache_folder(images, tmp_path):
    """The folder of a classifier, with an accuracy and nothing else."""
    folder = folder_of(images, tmp_path)
    folder.mkdir()
    (folder / "accuracy.json").write_text('{"accuracy": 0.99}')
    return folder


def test_classifier_is_trained_once_and_cached(images, tmp_path, capsys, monkeypatch):
    set_size(monkeypatch, 8, 20)
    _, accuracy = load_or_train_classifier("mnist", images, tmp_path)
    again, accuracy_again = load_or_train_classifier("mnist", images, str(tmp_path))
    assert accuracy == accuracy_again == accuracy_of(again, images.test)
    assert accuracy > 0.6
    assert capsys.readouterr().out.count("Training the evaluation classifier") == 1


def test_other_code_size_or_images_need_another_classifier(
    images, tmp_path, monkeypatch
):
    trained, build = [], build_classifier

    def train_classifier(images, filters, epochs):
        trained.append((filters, epochs))
        return build(images.image_shape, 10, filters)

    monkeypatch.setattr(evaluation, "train_classifier", train_classifier)
    set_size(monkeypatch, 2, 1)
    for _ in range(2):
        load_or_train_classifier("mnist", images, tmp_path)
    assert trained == [(2, 1)]

    set_size(monkeypatch, 2, 3)
    load_or_train_classifier("mnist", images, tmp_path)
    assert trained == [(2, 1), (2, 3)]

    def build_classifier_otherwise(*arguments):
        return build(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "build_classifier", build_classifier_otherwise)
        load_or_train_classifier("mnist", images, tmp_path)
    assert len(trained) == 3

    changed = images.train.images.copy()
    changed[0, 0, 0, 0] += 1
    others = images._replace(train=images.train._replace(images=changed))
    load_or_train_classifier("mnist", others, tmp_path)
    assert len(trained) == len(list(tmp_path.glob("mnist-*"))) == 4


@pytest.mark.parametrize("remaining", ["classifier.keras", "accuracy.json"])
def test_damaged_classifier_is_named(remaining, images, tmp_path):
    folder = folder_of(images, tmp_path)
    folder.mkdir()
    (folder / remaining).write_text('{"accuracy": 0.99}')
    with pytest.raises(InputError, match=f"in {folder} is damaged: delete"):
        load_or_train_classifier("mnist", images, tmp_path)


def test_classifier_with_spoilt_bytes_is_named(images, tmp_path, cache_folder):
    build_classifier((28, 28, 1), 10, 4).save(cache_folder / "classifier.keras")
    content = bytearray((cache_folder / "classifier.keras").read_bytes())
    for at in range(100, len(content) - 500, 500):  # in every file of the archive
        content[at : at + 40] = bytes(40)
    (cache_folder / "classifier.keras").write_bytes(content)
    with pytest.raises(InputError, match=f"in {cache_folder} is damaged: delete"):
        load_or_train_classifier("mnist", images, tmp_path)


def test_classifier_with_foreign_code_is_rejected(images, tmp_path, cache_folder):
    image = keras.Input((28, 28, 1))
    touch = keras.layers.Lambda(
        lambda x: [x, __import__("pathlib").Path("ran").touch()][0]
    )
    keras.Model(image, touch(image)).save(cache_folder / "classifier.keras")
    Path("ran").unlink(missing_ok=True)
    with pytest.raises(InputError, match="unsafe"):
        load_or_train_classifier("mnist", images, tmp_path)
    assert not Path("ran").exists()


def test_predicted_labels_are_class_ids(images):
    classifier = build_classifier((28, 28, 1), 10, 2)
    images = np.zeros((3, 28, 28, 1), "float32")
    predicted = evaluation.predict_labels(classifier, images)
    assert predicted.shape == (3,) and set(predicted) <= set(range(10))
