"""Prediction: at the image's own size and name; broken files are reported."""

import itertools
import json
import runpy

import numpy as np
import pytest
from PIL import Image
from tiny import ROOT

from train_tf.data.folders import read_mask
from train_tf.data.images import read_image
from train_tf.errors import InputError
from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS
from unet_tf.config import UNetConfig
from unet_tf.losses import LOSSES
from unet_tf.prediction import Segmenter, predict


def save_image(path, size=(60, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3))
    Image.fromarray(draw.astype("uint8")).save(path, **options)


def test_masks_and_overlays_have_the_images_size_and_name(trained, tmp_path):
    _, results, _ = trained
    images, out = tmp_path / "images", tmp_path / "out"
    for name in ("a.jpg", "sub/b.webp", "sub/deep/c.tif", "d.bmp"):
        save_image(images / name)
    assert predict(results["saved_model"], images, out) == (4, [])
    for kind in ("masks", "overlays"):
        found = {str(x.relative_to(out / kind)) for x in (out / kind).rglob("*.png")}
        assert found == {"a.png", "sub/b.png", "sub/deep/c.png", "d.png"}
    with Image.open(out / "masks" / "a.png") as mask:
        assert (mask.size, mask.mode) == ((60, 40), "P")
        assert mask.getpalette()[:9] == [230, 159, 0, 0, 0, 0, 0, 114, 178]
        assert set(np.unique(mask)) <= {0, 1, 2}
    with Image.open(out / "overlays" / "a.png") as overlay:
        assert (overlay.size, overlay.mode) == ((60, 40), "RGB")


def test_flip_averaging_is_an_option(trained, tmp_path):
    model, made = trained[1]["saved_model"], {}
    save_image(tmp_path / "a.png")
    for flip in (False, True):
        predict(model, tmp_path / "a.png", tmp_path / "out", flip)
        mask = np.asarray(Image.open(tmp_path / "out/masks/a.png"))
        made[flip] = mask
        segmenter = Segmenter(model, flip)
        np.testing.assert_array_equal(mask, segmenter(read_image(tmp_path / "a.png")))
    assert (made[False] != made[True]).any()


def test_exif_rotation_is_applied(trained, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    save_image(tmp_path / "rotated.jpg", exif=exif)
    predict(trained[1]["saved_model"], tmp_path / "rotated.jpg", tmp_path / "out")
    with Image.open(tmp_path / "out/masks/rotated.png") as mask:
        assert mask.size == (40, 60)


def test_two_images_of_one_stem_do_not_overwrite_each_other(trained, tmp_path):
    save_image(tmp_path / "in/a.jpg")
    save_image(tmp_path / "in/a.png")
    predict(trained[1]["saved_model"], tmp_path / "in", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out/masks").iterdir()}
    assert names == {"a.jpg.png", "a.png.png"}


def test_every_file_keeps_a_name_of_its_own(trained, tmp_path):
    for name in ("a.jpg", "a.png", "a.jpg.png"):
        save_image(tmp_path / "in" / name)
    predict(trained[1]["saved_model"], tmp_path / "in", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out/masks").iterdir()}
    assert names == {"a.jpg.png", "a.png.png", "a.jpg.png.png"}


def test_files_written_beside_the_images_are_not_taken_for_images(trained, tmp_path):
    save_image(tmp_path / "a.jpg")
    for _ in range(2):
        written = predict(trained[1]["saved_model"], tmp_path, tmp_path / "predictions")
        assert written == (1, [])
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_broken_image_is_reported_and_skipped(trained, tmp_path):
    save_image(tmp_path / "in/a.jpg")
    (tmp_path / "in/b.jpg").touch()
    written, [problem] = predict(
        trained[1]["saved_model"], tmp_path / "in", tmp_path / "out"
    )
    assert written == 1 and "b.jpg" in problem
    assert [x.name for x in (tmp_path / "out/masks").iterdir()] == ["a.png"]


def test_masks_are_those_that_were_learnt(trained_on_own):
    config, _ = trained_on_own
    segmenter = Segmenter(config.saved_model_folder)
    assert segmenter.class_names == ["class_0", "class_1"]
    agreeing = [
        segmenter(read_image(config.images / file.name)) == read_mask(file) // 255
        for file in config.masks.iterdir()
    ]
    assert np.mean(agreeing) > 0.93


def test_flip_averaged_prediction_of_a_flipped_image_is_flipped(trained_on_own):
    config, _ = trained_on_own
    segmenter = Segmenter(config.saved_model_folder, flip=True)
    image = read_image(config.images / "3.png")
    np.testing.assert_array_equal(segmenter(image[:, ::-1]), segmenter(image)[:, ::-1])


def test_own_training_never_shadows_a_model_of_the_clone():
    # One epoch of train_unet.py became the newest version of predict_unet.py's default.
    script = runpy.run_path(str(ROOT / "scripts/predict_unet.py"))
    default = script["PredictConfig"](images="x").model
    assert (ROOT / default / "1/saved_model.pb").exists()
    brought = [x.name for x in (ROOT / "saved_models").glob("pets_*")]
    assert len(brought) == 4 and default.name in brought
    for down, up, loss in itertools.product(DOWN_BLOCKS, UP_BLOCKS, LOSSES):
        config = UNetConfig(down, up, loss)
        assert config.saved_model_folder.parent == default.parent
        assert config.saved_model_folder.name not in brought
    own = UNetConfig(images="pets", masks="masks").saved_model_folder
    assert own.name not in brought


@pytest.mark.parametrize("make", [False, True])
def test_folder_without_a_model_is_named(make, tmp_path):
    folder = tmp_path / "model"
    if make:
        folder.mkdir()
    with pytest.raises(InputError, match=str(folder)):
        Segmenter(folder)


def test_newest_version_of_a_name_is_taken(trained, tmp_path):
    config, results, _ = trained
    name = tmp_path / "name"
    (name / "2").mkdir(parents=True)
    (name / "10").symlink_to(results["saved_model"])
    assert Segmenter(name).image_size == config.image_size


def test_folder_without_images_is_named(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        predict(trained[1]["saved_model"], tmp_path / "empty", tmp_path / "out")


def test_workers_share_a_folder_and_names_follow_from_the_whole(
    trained, tmp_path, monkeypatch
):
    for name in ("a.jpg", "a.png", "b.jpg", "sub/c.jpg", "d.jpg"):
        save_image(tmp_path / "in" / name)
    workers = ["host-0:1", "host-1:1"]
    written = 0
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": workers}, "task": task}
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
        count, problems = predict(
            trained[1]["saved_model"], tmp_path / "in", tmp_path / "out"
        )
        assert count in (2, 3) and not problems
        written += count
    assert written == 5
    masks = tmp_path / "out/masks"
    assert {str(x.relative_to(masks)) for x in masks.rglob("*.png")} == {
        "a.jpg.png",
        "a.png.png",
        "b.jpg.png",
        "sub/c.png",
        "d.jpg.png",
    }
