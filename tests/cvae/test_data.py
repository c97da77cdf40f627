"""Images and labels: splits, batches, wrong labels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_cvae_config, write_small_sets

from cvae_tf.data import (
    evaluation_batches,
    load_images,
    random_flip,
    training_batches,
    wrong_labels,
)
from train_tf.data.pipeline import Draws
from train_tf.errors import InputError

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.mark.parametrize("name", SHAPES)
def test_data_sets_are_read_and_split(name, small_sets, capsys):
    images = load_images(name, small_sets)
    assert images.counts == {"train": 380, "validation": 20, "test": 100}
    assert "train 380, validation 20, test 100" in capsys.readouterr().out
    assert images.image_shape == SHAPES[name]
    assert images.train.images.dtype == "uint8"
    assert len(images.class_names) == 10


def test_class_names_are_words(small_sets):
    assert load_images("cifar10", small_sets).class_names[3] == "cat"


def test_missing_data_set_is_rejected_with_the_folder(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        load_images("mnist", tmp_path)


def test_data_set_with_too_few_test_images_is_rejected(tmp_path):
    write_small_sets(tmp_path, counts=(400, 24))
    with pytest.raises(InputError, match="Expected 25 test images.* 24 of .*mnist"):
        load_images("mnist", tmp_path)
    write_small_sets(tmp_path / "again", counts=(400, 44))
    with pytest.raises(InputError, match="each of 10 classes.* 44 of 9 classes"):
        load_images("mnist", tmp_path / "again")


def test_batches_are_on_0_to_1_and_follow_from_seed_and_epoch(small_sets, tmp_path):
    config = tiny_cvae_config(tmp_path, small_sets)
    images = load_images("mnist", small_sets)
    two_epochs, second, third = (
        list(training_batches(images, config, epochs).as_numpy_iterator())
        for epochs in (range(0, 2), range(1, 2), range(2, 3))
    )
    assert len(two_epochs) == 2 * 5
    for (a, labels), (b, labels_again) in zip(two_epochs[5:], second, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(labels, labels_again)
    assert (two_epochs[5][1] != third[0][1]).any()
    assert two_epochs[0][0].dtype == "float32" and two_epochs[0][0].max() == 1.0


def test_digits_are_never_flipped_and_objects_are(small_sets, tmp_path):
    for name in ("mnist", "cifar10"):
        config = dataclasses.replace(
            tiny_cvae_config(tmp_path, small_sets), dataset=name
        )
        images = load_images(name, small_sets)
        originals = {x.tobytes() for x in (images.train.images / np.float32(255))}
        unchanged = [
            image.tobytes() in originals
            for batch, _ in training_batches(images, config, range(1))
            for image in batch.numpy()
        ]
        assert all(unchanged) == (name == "mnist")
        assert np.mean(unchanged) > 0.3


def test_flipped_image_is_reversed_left_to_right():
    images = tf.constant(np.arange(200, dtype="uint8").reshape(50, 1, 4, 1))
    flipped = random_flip(images, Draws([1, 2], 50)).numpy()
    changed = (flipped != images.numpy()).any((1, 2, 3))
    assert 10 < changed.sum() < 40
    np.testing.assert_array_equal(flipped[changed], images.numpy()[changed, :, ::-1])


def test_evaluation_keeps_the_order(small_sets):
    split = load_images("mnist", small_sets).test
    labels = np.concatenate([y for _, y in evaluation_batches(split, 30)])
    np.testing.assert_array_equal(labels, split.labels)


def test_wrong_labels_cover_all_pairs_and_follow_from_the_seed():
    labels = np.arange(1000) % 10
    wrong = wrong_labels(labels, 10, seed=1)
    assert (wrong != labels).all()
    pairs = set(zip(labels.tolist(), wrong.tolist(), strict=True))
    assert len(pairs) == 90
    np.testing.assert_array_equal(wrong, wrong_labels(labels, 10, seed=1))
    assert (wrong != wrong_labels(labels, 10, seed=2)).any()
