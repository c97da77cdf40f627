"""Training data: whole labels, fair splits, masks augmented with their images."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_config, write_photos_and_masks

from train_tf.data.pipeline import Draws, augment
from train_tf.errors import InputError
from unet_tf import data
from unet_tf.config import UNetConfig


def test_pets_have_three_official_splits(tiny, capsys):
    dataset = data.load_data(tiny)
    assert dataset.counts == {"train": 256, "validation": 45, "test": 298}
    assert dataset.class_names == ("pet", "background", "outline")
    images, masks, names = dataset.test
    assert len(set(names)) == 298 and names[0].endswith(".jpg")
    assert (images.shape, images.dtype) == ((298, 32, 32, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((298, 32, 32, 1), np.uint8)
    output = capsys.readouterr().out
    assert "datasets/oxford_iiit_pet/4.0.0 (301 train, 298 test)" in output
    assert "train 256, validation 45, test 298" in output


def test_masks_keep_whole_labels_after_resizing():
    # The article's bicubic resizing invented labels between the real ones.
    mask = np.random.default_rng(0).choice([0, 7, 255], (61, 47, 1)).astype("uint8")
    for size in (16, 61, 128):
        assert set(np.unique(data.resize_mask(mask, size))) == {0, 7, 255}


def test_pets_hold_only_the_three_classes(tiny):
    for masks in (split.masks for split in data.load_data(tiny)[:3]):
        assert set(np.unique(masks)) == {0, 1, 2}


def test_article_split_validates_on_a_fifth_of_all(tiny):
    dataset = data.load_data(dataclasses.replace(tiny, split="article"))
    assert dataset.counts == {"train": 479, "validation": 120, "test": 120}


def test_split_depends_on_the_seed_alone(tiny):
    def validation(seed):
        config = dataclasses.replace(tiny, seed=seed)
        return data.load_data(config).validation.images

    assert (validation(1) == validation(1)).all()
    assert (validation(1) != validation(2)).any()


def test_split_does_not_depend_on_the_order_files_were_made_in(tiny, tmp_path):
    images, masks = write_photos_and_masks(tmp_path / "a")
    other = tmp_path / "b"
    for folder in ("images", "masks"):
        (other / folder).mkdir(parents=True)
        for file in sorted((tmp_path / "a" / folder).iterdir(), reverse=True):
            (other / folder / file.name).write_bytes(file.read_bytes())
    one = dataclasses.replace(tiny, images=images, masks=masks)
    two = dataclasses.replace(tiny, images=other / "images", masks=other / "masks")
    left, right = data.load_data(one), data.load_data(two)
    assert left.file_names == right.file_names
    np.testing.assert_array_equal(left.train.images, right.train.images)


def test_augmentation_moves_image_and_mask_alike():
    # Images that show their own masks: they must still do so afterwards.
    draw = np.random.default_rng(0)
    masks = np.kron(draw.integers(0, 2, (6, 4, 4, 1)), np.ones((1, 16, 16, 1), int))
    images = np.repeat(masks, 3, -1).astype("float32")
    geometry = [
        layer for layer in data.augmentation() if not hasattr(layer, "value_range")
    ]
    assert len(geometry) == 3
    draws = Draws([1, 2], len(images))
    new_images, new_masks = augment(geometry, images, masks.astype("uint8"), draws)
    assert new_masks.dtype == "uint8" and set(np.unique(new_masks)) <= {0, 1}
    assert (new_masks.numpy() != masks).any(axis=(1, 2, 3)).all()
    agreeing = (new_images.numpy()[..., :1] > 0.5) == (new_masks.numpy() == 1)
    assert agreeing.mean() > 0.97  # all but edges, where colours are blended


def test_augmentation_keeps_images_in_range_and_labels_whole(tiny):
    dataset = data.load_data(tiny)
    for images, masks in data.training_batches(dataset, tiny, range(1)):
        assert images.dtype == "float32"
        assert images.numpy().min() >= 0 and images.numpy().max() <= 1
        assert set(np.unique(masks)) <= {0, 1, 2}


def test_every_image_is_seen_once_per_epoch(tiny):
    config = dataclasses.replace(tiny, augment=False, batch_size=48)
    dataset = data.load_data(config)
    seen = [
        image
        for images, _ in data.training_batches(dataset, config, range(1))
        for image in np.round(images * 255).astype("uint8")
    ]
    assert len(seen) == 256
    assert {x.tobytes() for x in seen} == {x.tobytes() for x in dataset.train.images}


def test_evaluation_batches_hold_all_in_order(tiny):
    split = data.load_data(tiny).validation
    batches = list(data.evaluation_batches(split, 7))
    np.testing.assert_array_equal(np.concatenate([m for _, m in batches]), split.masks)
    np.testing.assert_allclose(
        np.concatenate([p for p, _ in batches]), split.images / 255, rtol=1e-6
    )


@pytest.mark.parametrize("ids", [(0, 1), (0, 255), (1, 0)])
def test_own_images_are_split_in_three(ids, tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=20, ids=ids)
    config = UNetConfig(images=images, masks=masks, image_size=16)
    dataset = data.load_data(config)
    assert dataset.counts == {"train": 14, "validation": 3, "test": 3}
    assert dataset.class_names == ("class_0", "class_1")
    images, masks, _ = dataset.train
    bright = images.mean(axis=-1, keepdims=True) > 120
    assert ((masks == (1 if ids[1] else 0)) == bright).mean() > 0.9


def test_images_that_do_not_fit_into_memory_are_not_read(tmp_path, monkeypatch):
    from train_tf import devices

    images, masks = write_photos_and_masks(tmp_path, count=8)
    free = devices.psutil.virtual_memory()._replace(available=2**10)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: free)
    with pytest.raises(ValueError, match="8 images .*smaller --image-size"):
        data.load_data(UNetConfig(images=images, masks=masks))


def test_split_without_a_pixel_that_counts_is_rejected(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=8)
    config = dataclasses.replace(tiny_config(tmp_path), images=images, masks=masks)
    (seen,) = data.load_data(config).validation.names
    nothing = Image.fromarray(np.full((20, 24), 255, "uint8"))
    nothing.save((masks / seen).with_suffix(".png"))
    with pytest.raises(InputError, match="validation split. All 1 masks of it in"):
        data.load_data(config)


def test_too_few_images_for_three_splits_are_rejected(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    with pytest.raises(
        ValueError, match="Expected 4 examples or more.*validation.*Received: 3"
    ):
        data.load_data(UNetConfig(images=images, masks=masks, image_size=16))


def test_images_that_cannot_fit_are_rejected_before_any_is_read(tiny, monkeypatch):
    def fail(*_):
        raise AssertionError("read images")

    monkeypatch.setattr(data, "read_arrays", fail)
    config = dataclasses.replace(tiny, image_size=8192)
    with pytest.raises(InputError, match="599 images.*8192x8192.*--image-size"):
        data.load_data(config)


def test_every_class_has_its_own_colour():
    assert data.class_colours(3) == data.COLOURS[:3]
    many = data.class_colours(40)
    assert len(set(many)) == 40 and many[:8] == data.COLOURS
    assert all(
        0 <= value <= 255 for colour in data.class_colours(255) for value in colour
    )
