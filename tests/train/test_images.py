"""Pictures of every kind arrive as a person sees them, or are rejected by name."""

import numpy as np
import pytest
from PIL import Image

from train_tf.data.images import image_files, read_image
from train_tf.errors import InputError

GREY = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype("uint8")
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], -1)
LOSSY = {"x.jpg", "cmyk.jpg", "x.webp", "x.gif", "palette.png", "x.jp2"}


def as_mode(mode, source=COLOUR):
    return Image.fromarray(source).convert(mode)


FILES = {
    "x.png": as_mode("RGB"),
    "x.jpg": as_mode("RGB"),
    "cmyk.jpg": as_mode("CMYK"),
    "cmyk.tif": as_mode("CMYK"),
    "x.bmp": as_mode("RGB"),
    "x.gif": as_mode("RGB"),
    "x.webp": as_mode("RGB"),
    "x.tif": as_mode("RGB"),
    "palette.png": as_mode("P"),
    "opaque.png": as_mode("RGBA"),
}
GREY_FILES = {
    "grey.png": as_mode("L", GREY),
    "grey_alpha.png": as_mode("LA", GREY),
    "grey16.png": Image.fromarray(GREY.astype("uint16") * 257),
    "grey16.tif": Image.fromarray(GREY.astype("uint16") * 257),
    "grey32.tif": Image.fromarray(GREY.astype("int32") * 257),
    "float.tif": Image.fromarray(GREY.astype("float32") / 255),
}


@pytest.mark.parametrize("name", FILES)
def test_colour_pictures_of_every_kind_arrive_in_colour(name, tmp_path):
    FILES[name].save(tmp_path / name)
    picture = read_image(tmp_path / name)
    assert (picture.shape, picture.dtype) == ((48, 64, 3), np.uint8)
    error = np.abs(picture.astype(int) - COLOUR)
    assert error.mean() < (25 if name in LOSSY else 3 if "cmyk" in name else 1e-9)


@pytest.mark.parametrize("name", GREY_FILES)
def test_grey_pictures_of_every_depth_arrive_alike(name, tmp_path):
    GREY_FILES[name].save(tmp_path / name)
    np.testing.assert_array_equal(
        read_image(tmp_path / name), np.repeat(GREY[..., None], 3, -1)
    )


def test_black_and_white_arrives_as_0_and_255(tmp_path):
    Image.fromarray(GREY > 99).save(tmp_path / "x.png")
    assert set(np.unique(read_image(tmp_path / "x.png"))) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_white_not_the_colour_hidden_there(mode, tmp_path):
    if mode == "P":
        picture = Image.new("P", (4, 4), 0)
        picture.putpalette([200, 10, 10])
        picture.save(tmp_path / "x.png", transparency=0)
    else:
        Image.new(mode, (4, 4), 0).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 255).all()


def test_rotation_noted_by_the_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(COLOUR).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(
        read_image(tmp_path / "x.png"), np.rot90(COLOUR, axes=(1, 0))
    )


def test_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("white", "black")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "x.gif").min() > 250


def test_content_counts_not_the_ending(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "x.jpg"), COLOUR)


def damaged_files(folder):
    Image.fromarray(COLOUR).save(folder / "half.jpg")
    half = (folder / "half.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(half[: len(half) // 2])
    Image.fromarray(COLOUR).save(folder / "half.png")
    half = (folder / "half.png").read_bytes()
    (folder / "half.png").write_bytes(half[: len(half) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    Image.fromarray(np.full((2, 2), np.nan, "float32")).save(folder / "nan.tif")
    Image.fromarray(np.full((2, 2), -3, "int32")).save(folder / "negative.tif")
    Image.fromarray(np.full((2, 2), 300.0, "float32")).save(folder / "large.tif")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    return sorted(folder.iterdir())


def test_files_that_cannot_be_read_are_rejected_by_name(tmp_path):
    files = [*damaged_files(tmp_path), tmp_path / "missing.png"]
    assert len(files) == 9
    for file in files:
        with pytest.raises(InputError, match=file.name) as error:
            read_image(file)
        assert len(str(error.value)) < 400


def test_picture_files_are_sorted_with_folders_and_without_hidden_ones(tmp_path):
    for name in ("b.png", "A.JPG", "sub/c.webp", ".hidden.png", ".d/e.png", "t.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(file.relative_to(tmp_path)) for file in image_files(tmp_path)]
    assert names == ["A.JPG", "b.png", "sub/c.webp"]


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        image_files(tmp_path / "nowhere")


def test_what_pillow_cannot_read_is_no_picture(tmp_path):
    for name in ("a.jpg", "b.MPO", "notes.pdf", "c.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in image_files(tmp_path)] == ["a.jpg", "b.MPO"]
