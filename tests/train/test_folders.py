"""Your own folders: read before training, with all problems reported at once."""

import numpy as np
import pytest
from PIL import Image
from tiny import write_photos_and_masks

from train_tf.data.folders import read_mask, read_mask_folder
from train_tf.errors import InputError

IDS = np.array([[0, 1, 2], [2, 1, 0]], "uint8")


def read(images, masks, classes=None):
    return read_mask_folder(images, masks, classes, lambda image, mask: (image, mask))


def save_masks(folder, values):
    for file in folder.glob("*.png"):
        Image.fromarray(np.resize(values, (20, 24)).astype("uint8")).save(file)


def test_pairs_come_sorted_by_name(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    folder = read(images, masks)
    assert folder.images.shape == (3, 20, 24, 3)
    assert folder.masks.shape == (3, 20, 24, 1)
    assert folder.classes == 2
    np.testing.assert_array_equal(folder.images[2], Image.open(images / "2.png"))


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        ([0, 1], 2, {0, 1}),
        ([0, 255], 2, {0, 1}),
        ([255], 2, {1}),
        ([0, 1, 255], 2, {0, 1, 255}),
        ([0, 1, 2, 3], 4, {0, 1, 2, 3}),
    ],
)
def test_ids_found_make_the_classes(values, classes, expected, tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    save_masks(masks, values)
    folder = read(images, masks)
    assert (folder.classes, set(np.unique(folder.masks))) == (classes, expected)


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 7], [0, 127, 254]])
def test_ids_with_gaps_are_listed_unless_their_number_is_given(values, tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    save_masks(masks, values)
    listed = ", ".join(map(str, values))
    with pytest.raises(InputError, match=rf"{listed}: .* does not fit is .*\.png\."):
        read(images, masks)
    assert read(images, masks, classes=255).classes == 255


def test_soft_edges_are_not_taken_for_classes(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    save_masks(masks, np.arange(256))
    with pytest.raises(
        InputError, match=r"255 different class ids.*/\d.png: expected 64"
    ):
        read(images, masks)
    assert read(images, masks, classes=255).classes == 255


def test_ids_past_the_given_number_are_told_with_their_file(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    Image.fromarray(np.full((20, 24), 7, "uint8")).save(masks / "1.png")
    with pytest.raises(InputError, match=r"1.png: class ids 7, expected 0 to 2"):
        read(images, masks, classes=3)


def test_masks_of_one_class_alone_are_rejected(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=3)
    save_masks(masks, [0])
    with pytest.raises(InputError, match="two classes or more"):
        read(images, masks)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA", "LA", "I;16", "I"])
def test_masks_of_every_kind_keep_their_ids(mode, tmp_path):
    if mode in ("P", "L"):
        picture = Image.fromarray(IDS)
        if mode == "P":
            picture.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    elif mode.startswith("I"):
        picture = Image.fromarray(IDS.astype("int32" if mode == "I" else "uint16"))
    else:
        picture = Image.fromarray(IDS).convert(mode)
    picture.save(tmp_path / "mask.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), IDS)


def test_black_and_white_masks_have_two_classes(tmp_path):
    Image.fromarray(IDS > 0).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), IDS > 0)


def test_masks_of_colours_or_fractions_are_rejected(tmp_path):
    Image.fromarray(np.stack([IDS, IDS, 0 * IDS], -1)).save(tmp_path / "colour.png")
    Image.fromarray(IDS.astype("float32")).save(tmp_path / "fraction.tif")
    for name in ("colour.png", "fraction.tif"):
        with pytest.raises(InputError, match=name):
            read_mask(tmp_path / name)


def test_rotation_noted_by_the_camera_is_honoured(tmp_path):
    # The mask was drawn over the rotated image.
    images, masks = write_photos_and_masks(tmp_path, count=3)
    exif = Image.Exif()
    exif[274] = 6
    upright = Image.open(images / "0.png")
    upright.rotate(90, expand=True).save(images / "0.png", exif=exif)
    np.testing.assert_array_equal(read(images, masks).images[0], upright)


def test_all_problems_are_told_at_once(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=8)
    (masks / "0.png").unlink()
    (images / "1.png").unlink()
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:60])
    (masks / "3.png").write_bytes(b"")
    Image.new("L", (5, 6)).save(masks / "4.png")
    Image.new("RGB", (24, 20)).save(images / "5.jpg")
    with pytest.raises(InputError) as error:
        read(images, masks)
    message = str(error.value)
    assert message.startswith("6 problems")
    for part in (
        "0.png: no mask '0.*'",
        "1.png: no image '1.*'",
        "2.png: cannot be read",
        "3.png: cannot be read as an image (empty file)",
        "4.png: 5x6 pixels, but 4.png has 24x20",
        "5.png: has the same file stem as",
    ):
        assert part in message, message


def test_a_thousand_problems_do_not_flood_the_screen(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=100)
    for file in masks.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="and 6[0-9] more") as error:
        read(images, masks)
    assert len(str(error.value).splitlines()) < 45


def test_empty_folder_is_named(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no images"):
        read(tmp_path / "empty", masks)
    with pytest.raises(InputError, match="nowhere does not exist"):
        read(images, tmp_path / "nowhere")
