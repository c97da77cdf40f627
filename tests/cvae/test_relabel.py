"""Relabelling with SavedModels: figures, scores, and images of your own."""

import numpy as np
import pytest
from PIL import Image

from cvae_tf import relabel, report
from cvae_tf.data import load_images, to_float
from cvae_tf.relabel import (
    Relabeller,
    draw_wrong_labels,
    evaluate_relabelling,
    prepare_image,
    relabel_image,
    under_all_labels,
)
from train_tf.data.datasets import DATASETS
from train_tf.errors import InputError


class Perfect:
    """Returns a real image of the requested label."""

    def __init__(self, split):
        self.images = to_float(split.images).numpy()
        self.rows = [np.flatnonzero(split.labels == label) for label in range(10)]

    def relabel(self, images, labels):
        return self.images[[self.rows[label][0] for label in labels]]


@pytest.fixture(scope="module")
def images(small_sets):
    return load_images("mnist", small_sets)


@pytest.fixture(scope="module")
def labels_of(images):
    """The labels of images of the test split."""
    labels = {
        to_float(image).numpy().tobytes(): label
        for image, label in zip(images.test.images, images.test.labels, strict=True)
    }
    return lambda some: [labels[image.tobytes()] for image in some]


def test_each_image_is_redrawn_under_each_label(images, labels_of):
    some = to_float(images.test.images[:3]).numpy()
    table = under_all_labels(Perfect(images.test), some, 10)
    assert table.shape == (3, 10, 28, 28, 1)
    for row in table:
        assert labels_of(row) == list(range(10))


def test_figure_has_as_many_images_as_requested(
    images, labels_of, tmp_path, monkeypatch
):
    calls, draw = [], report.draw_side_by_side
    monkeypatch.setattr(
        report, "draw_side_by_side", lambda *x: calls.append(x) or draw(*x)
    )
    names, perfect = images.class_names, Perfect(images.test)
    draw_wrong_labels(str(tmp_path), perfect, images.test, names, count=4)
    ((_, before, labels, after, requested),) = calls
    assert len(labels) == len(requested) == 4
    assert all(f"as {x}" != y for x, y in zip(labels, requested, strict=True))
    assert [names[label] for label in labels_of(before)] == labels
    assert [f"as {names[label]}" for label in labels_of(after)] == requested
    for name in ("wrong_labels.png", "all_labels.png"):
        with Image.open(tmp_path / name) as figure:
            assert len(figure.convert("L").getcolors(10**6)) > 20


def test_saved_model_relabels(trained_cvae, images, monkeypatch):
    _, results, _ = trained_cvae
    relabeller = Relabeller(results["saved_model"])
    assert relabeller.class_names == [str(n) for n in range(10)]
    originals = to_float(images.test.images[:7]).numpy()
    labels = np.arange(7, dtype="int32")
    relabelled = relabeller.relabel(originals, labels)
    assert relabelled.shape == originals.shape
    assert relabelled.min() >= 0 and relabelled.max() <= 1
    assert np.abs(relabelled - relabeller.relabel(originals, labels + 1)).max() > 1e-4
    assert relabeller.encode(originals, labels).shape == (7, 3)
    monkeypatch.setattr(relabel, "BATCH_SIZE", 3)
    in_batches = relabeller.relabel(originals, labels)
    np.testing.assert_allclose(in_batches, relabelled, atol=1e-5)


def test_saved_model_of_a_unet_is_rejected(trained):
    with pytest.raises(InputError, match="SavedModel of a CVAE.*UNet"):
        Relabeller(trained[1]["saved_model"])


def test_label_is_a_number_or_a_name():
    names = DATASETS["cifar10"].class_names
    assert relabel._class_id("dog", names) == names.index("dog")
    assert relabel._class_id("5", names) == 5


def test_own_image_is_redrawn_under_every_label(trained_cvae, tmp_path, monkeypatch):
    Image.new("RGB", (50, 40), "white").save(tmp_path / "mine.png")
    model = trained_cvae[1]["saved_model"]
    text = relabel_image(model, tmp_path / "mine.png", None, str(tmp_path / "out"))
    assert text == f"Figure: {tmp_path}/out/mine_all_labels.png"
    assert (tmp_path / "out" / "mine_all_labels.png").exists()
    drawn = {}
    monkeypatch.setattr(
        report, "draw_all_labels", lambda *x: drawn.update({x[3][0]: x[2]})
    )
    for label in ("3", "4"):
        relabel_image(model, tmp_path / "mine.png", label, tmp_path / "out")
    assert np.abs(drawn["3"] - drawn["4"]).max() > 1e-4
    with pytest.raises(InputError, match="label .--label. from 0 to 9.* Received: 10"):
        relabel_image(model, tmp_path / "mine.png", "10", tmp_path / "out")


@pytest.mark.parametrize("paper", [255, 160, 120, 100])
def test_own_digit_is_cropped_to_its_strokes_on_any_paper(paper):
    drawing = np.full((100, 80, 3), paper, "uint8")
    drawing[30:70, 40:48] = 20  # a one
    image = prepare_image(drawing, (28, 28, 1))[..., 0]
    assert image.shape == (28, 28) and image.max() == pytest.approx(1)
    assert np.flatnonzero(image.max(1) > 0.3).tolist() == list(range(4, 24))
    assert np.flatnonzero(image.max(0) > 0.3).tolist() == [12, 13, 14, 15]
    assert image[:, :11].max() == image[:, 17:].max() == 0


@pytest.mark.parametrize("size", [(100, 4), (400, 15), (30, 1), (2, 90)], ids=str)
def test_own_thin_stroke_is_20_pixels_long(size):
    drawing = np.full((size[0] + 60, size[1] + 60, 3), 255, "uint8")
    drawing[30:-30, 30:-30] = 0
    image = prepare_image(drawing, (28, 28, 1))[..., 0]
    rows, columns = ((image > 0.3).any(axis).sum() for axis in (1, 0))
    assert max(rows, columns) == 20 and min(rows, columns) == 1


def test_own_digit_has_its_centre_of_mass_in_the_middle():
    drawing = np.full((200, 200, 3), 255, "uint8")
    drawing[50:150, 50:60] = 0
    drawing[120:150, 50:110] = 0  # heavy at the bottom left
    image = prepare_image(drawing, (28, 28, 1))[..., 0]
    for axis in (0, 1):
        weights = image.sum(axis)
        assert np.average(np.arange(28), weights=weights) == pytest.approx(13.5, abs=1)


def test_own_image_without_strokes_is_black():
    assert prepare_image(np.full((50, 40, 3), 160, "uint8"), (28, 28, 1)).max() == 0


@pytest.mark.parametrize("size", [50, 64, 333])
def test_own_image_in_colour_stays_in_the_range(size):
    image = prepare_image(np.full((size, size, 3), 255, "uint8"), (32, 32, 3))
    assert image.shape == (32, 32, 3) and image.max() == 1
    assert image.min() > 0.999


def test_evaluation_waits_for_no_workers(
    trained_cvae, small_sets, tmp_path, monkeypatch
):
    monkeypatch.setenv("TF_CONFIG", "{}")
    text = evaluate_relabelling(
        trained_cvae[1]["saved_model"],
        str(tmp_path),
        count=4,
        evaluate=False,
        data_dir=small_sets,
    )
    assert text == f"Figures: {tmp_path}/wrong_labels.png, {tmp_path}/all_labels.png"
