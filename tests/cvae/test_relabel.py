"""Scores of relabelling: right for a perfect, a deaf and a blind relabeller."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import uncompiled

from cvae_tf import relabel as wrong_label
from cvae_tf import report
from cvae_tf.data import DATASETS, load_images, scaled
from cvae_tf.evaluation.classifier import accuracy_of, build_classifier, find_classifier
from cvae_tf.relabel import (
    Relabeller,
    draw_wrong_labels,
    evaluate_relabelling,
    leakage,
    prepare_own,
    relabel_image,
    score,
    under_all_labels,
)
from train_tf.errors import InputError


class Deaf:
    """Gives every image back as it came, and knows its label."""

    dataset = "mnist"

    def relabel(self, images, labels):
        return images

    def encode(self, images, labels):
        return np.eye(10, dtype="float32")[labels]


class Perfect(Deaf):
    """Gives a real image of the label that was sent, and knows nothing."""

    def __init__(self, part):
        self.images = scaled(part.images).numpy()
        self.rows = [np.flatnonzero(part.labels == label) for label in range(10)]

    def relabel(self, images, labels):
        return self.images[[self.rows[label][0] for label in labels]]

    def encode(self, images, labels):
        return np.random.default_rng(0).normal(size=(len(images), 4)).astype("f")


@pytest.fixture(scope="module")
def images(small_sets):
    return load_images("mnist", small_sets)


class Oracle:
    """Reads pictures of one image a class without fault."""

    def __init__(self, part):
        self.known = {
            scaled(image).numpy().tobytes(): label
            for image, label in zip(part.images, part.labels, strict=True)
        }

    def predict(self, pictures, **settings):
        labels = [self.known[picture.tobytes()] for picture in pictures]
        return np.eye(10)[labels]


def read(oracle, pictures):
    return oracle.predict(pictures).argmax(-1)


def test_sheet_shows_each_image_under_each_label(images):
    some = scaled(images.test.images[:3]).numpy()
    sheet = under_all_labels(Perfect(images.test), some, 10)
    assert sheet.shape == (3, 10, 28, 28, 1)
    for row in sheet:
        assert read(Oracle(images.test), row).tolist() == list(range(10))


def test_deaf_relabeller_shows_the_true_label_in_full_style(images):
    scores = score(Deaf(), Oracle(images.test), images)
    assert (scores["label_accuracy"], scores["source_accuracy"]) == (0, 1)
    assert list(scores["style"].values()) == pytest.approx([1, 1, 1])
    assert scores["sharpness"] == 1
    assert scores["leakage"] > 0.95


def test_perfect_relabeller_is_read_as_sent_and_leaks_nothing(images):
    scores = score(Perfect(images.test), Oracle(images.test), images)
    assert (scores["label_accuracy"], scores["source_accuracy"]) == (1, 0)
    assert all(abs(value) < 0.3 for value in scores["style"].values())
    assert scores["leakage"] < 0.3


def test_leakage_is_the_same_each_time(images, monkeypatch):
    readers, build = [], wrong_label.latent_discriminator
    monkeypatch.setattr(
        wrong_label,
        "latent_discriminator",
        lambda *x: readers.append(build(*x)) or readers[-1],
    )
    with uncompiled():
        for _ in range(2):
            leakage(Perfect(images.test), images, epochs=2)
    one, other = (reader.get_weights() for reader in readers)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pictures_have_as_many_as_asked_for(images, tmp_path, monkeypatch):
    stacked, drawn = [], report.draw_stacked
    monkeypatch.setattr(
        report, "draw_stacked", lambda *x: stacked.append(x) or drawn(*x)
    )
    names, perfect = images.class_names, Perfect(images.test)
    draw_wrong_labels(tmp_path, perfect, images.test, names, count=4)
    ((_, before, true, after, sent),) = stacked
    assert len(true) == len(sent) == 4
    assert all(f"as {x}" != y for x, y in zip(true, sent, strict=True))
    oracle = Oracle(images.test)
    assert [names[label] for label in read(oracle, before)] == true
    assert [f"as {names[label]}" for label in read(oracle, after)] == sent
    for name in ("wrong_labels.png", "all_labels.png"):
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("L").getcolors(10**6)) > 20


def test_saved_model_is_relabelled_by(trained_cvae, images, monkeypatch):
    _, results, _ = trained_cvae
    relabeller = Relabeller(results["saved_model"])
    assert relabeller.class_names == [str(n) for n in range(10)]
    pictures = scaled(images.test.images[:7]).numpy()
    labels = np.arange(7, dtype="int32")
    relabelled = relabeller.relabel(pictures, labels)
    assert relabelled.shape == pictures.shape
    assert relabelled.min() >= 0 and relabelled.max() <= 1
    assert np.abs(relabelled - relabeller.relabel(pictures, labels + 1)).max() > 1e-4
    assert relabeller.encode(pictures, labels).shape == (7, 3)
    monkeypatch.setattr(wrong_label, "BATCH_SIZE", 3)
    in_batches = relabeller.relabel(pictures, labels)
    np.testing.assert_allclose(in_batches, relabelled, atol=1e-5)


def test_saved_model_of_a_unet_is_refused(trained):
    with pytest.raises(InputError, match="SavedModel of a CVAE.*UNet"):
        Relabeller(trained[1]["saved_model"])


def test_judge_is_trained_once_and_kept(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cvae_tf.evaluation.classifier.SIZES", {"mnist": (8, 40)})
    _, accuracy = find_classifier("mnist", images, tmp_path)
    again, accuracy_again = find_classifier("mnist", images, tmp_path)
    assert accuracy == accuracy_again == accuracy_of(again, images.test)
    assert accuracy > 0.6
    assert capsys.readouterr().out.count("Training the judge") == 1


@pytest.mark.parametrize("left", ["judge.keras", "accuracy.json"])
def test_damaged_judge_is_named(left, images, tmp_path):
    place = tmp_path / f"mnist-{images.counts['train']}"
    place.mkdir()
    (place / left).write_text('{"accuracy": 0.99}')
    with pytest.raises(InputError, match=f"judge in {place} is damaged: delete"):
        find_classifier("mnist", images, tmp_path)


def test_judge_with_spoilt_bytes_is_named(images, tmp_path):
    place = tmp_path / f"mnist-{images.counts['train']}"
    place.mkdir()
    (place / "accuracy.json").write_text('{"accuracy": 0.99}')
    build_classifier((28, 28, 1), 10, 4).save(place / "judge.keras")
    content = bytearray((place / "judge.keras").read_bytes())
    for at in range(100, len(content) - 500, 500):  # in every file of the archive
        content[at : at + 40] = bytes(40)
    (place / "judge.keras").write_bytes(content)
    with pytest.raises(InputError, match=f"judge in {place} is damaged: delete"):
        find_classifier("mnist", images, tmp_path)


def test_judge_with_a_strangers_code_is_refused(images, tmp_path):
    place = tmp_path / f"mnist-{images.counts['train']}"
    place.mkdir()
    (place / "accuracy.json").write_text('{"accuracy": 0.99}')
    image = keras.Input((28, 28, 1))
    touch = keras.layers.Lambda(
        lambda x: [x, __import__("pathlib").Path("ran").touch()][0]
    )
    keras.Model(image, touch(image)).save(place / "judge.keras")
    Path("ran").unlink(missing_ok=True)
    with pytest.raises(InputError, match="unsafe"):
        find_classifier("mnist", images, tmp_path)
    assert not Path("ran").exists()


def test_label_is_a_number_or_a_name():
    names = DATASETS["cifar10"].class_names
    assert wrong_label._number_of("dog", names) == names.index("dog")
    assert wrong_label._number_of("5", names) == 5


def test_own_picture_is_drawn_under_every_label(trained_cvae, tmp_path, monkeypatch):
    Image.new("RGB", (50, 40), "white").save(tmp_path / "mine.png")
    model = trained_cvae[1]["saved_model"]
    told = relabel_image(model, tmp_path / "mine.png", None, tmp_path / "out")
    assert told == f"Picture: {tmp_path}/out/mine_all_labels.png"
    assert (tmp_path / "out" / "mine_all_labels.png").exists()
    drawn = {}
    monkeypatch.setattr(report, "draw_sheet", lambda *x: drawn.update({x[3][0]: x[2]}))
    for label in ("3", "4"):
        relabel_image(model, tmp_path / "mine.png", label, tmp_path / "out")
    assert np.abs(drawn["3"] - drawn["4"]).max() > 1e-4
    with pytest.raises(InputError, match="--label from 0 to 9.* Received: 10"):
        relabel_image(model, tmp_path / "mine.png", "10", tmp_path / "out")


@pytest.mark.parametrize("paper", [255, 160, 120, 100])
def test_own_digit_is_cut_to_its_strokes_whatever_its_paper(paper):
    photo = np.full((100, 80, 3), paper, "uint8")
    photo[30:70, 40:48] = 20  # a one
    picture = prepare_own(photo, (28, 28, 1))[..., 0]
    assert picture.shape == (28, 28) and picture.max() == pytest.approx(1)
    assert np.flatnonzero(picture.max(1) > 0.3).tolist() == list(range(4, 24))
    assert np.flatnonzero(picture.max(0) > 0.3).tolist() == [12, 13, 14, 15]
    assert picture[:, :11].max() == picture[:, 17:].max() == 0


@pytest.mark.parametrize("size", [(100, 4), (400, 15), (30, 1), (2, 90)], ids=str)
def test_own_thin_stroke_is_20_pixels_long(size):
    photo = np.full((size[0] + 60, size[1] + 60, 3), 255, "uint8")
    photo[30:-30, 30:-30] = 0
    picture = prepare_own(photo, (28, 28, 1))[..., 0]
    rows, columns = ((picture > 0.3).any(axis).sum() for axis in (1, 0))
    assert max(rows, columns) == 20 and min(rows, columns) == 1


def test_own_digit_has_its_centre_of_mass_in_the_middle():
    photo = np.full((200, 200, 3), 255, "uint8")
    photo[50:150, 50:60] = 0
    photo[120:150, 50:110] = 0  # heavy at the bottom left
    picture = prepare_own(photo, (28, 28, 1))[..., 0]
    for axis in (0, 1):
        weights = picture.sum(axis)
        assert np.average(np.arange(28), weights=weights) == pytest.approx(13.5, abs=1)


def test_own_picture_without_strokes_is_empty():
    assert prepare_own(np.full((50, 40, 3), 160, "uint8"), (28, 28, 1)).max() == 0


@pytest.mark.parametrize("size", [50, 64, 333])
def test_own_picture_in_colour_stays_in_the_range(size):
    picture = prepare_own(np.full((size, size, 3), 255, "uint8"), (32, 32, 3))
    assert picture.shape == (32, 32, 3) and picture.max() == 1
    assert picture.min() > 0.999


def test_judging_waits_for_no_workers(trained_cvae, small_sets, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    told = evaluate_relabelling(
        trained_cvae[1]["saved_model"],
        tmp_path,
        count=4,
        judged=False,
        data_dir=small_sets,
    )
    assert told == f"Pictures: {tmp_path}/wrong_labels.png, {tmp_path}/all_labels.png"
