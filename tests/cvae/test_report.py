"""Figures of images, and the files of TensorBoard's projector."""

import numpy as np
from PIL import Image

from cvae_tf.report import tile, write_projector


def test_tiles_are_joined_in_rows_and_enlarged():
    images = np.arange(8.0).reshape(2, 2, 1, 2, 1)
    assert tile(images)[..., 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert tile(images, zoom=2)[:2, :4, 0].tolist() == [[0, 0, 1, 1]] * 2


def test_projector_has_a_row_a_name_and_a_sprite_for_each_image(tmp_path):
    random = np.random.default_rng(0)
    latents, images = random.normal(size=(5, 3)), random.random((5, 4, 6, 1))
    labels = np.array([0, 1, 1, 0, 1])
    write_projector(tmp_path, latents, labels, images, ("cat", "dog"))
    rows = (tmp_path / "latents.tsv").read_text().splitlines()
    np.testing.assert_allclose(
        [[float(x) for x in row.split("\t")] for row in rows], latents, rtol=1e-4
    )
    names = (tmp_path / "labels.tsv").read_text().split()
    assert names == ["cat", "dog", "dog", "cat", "dog"]
    sprite = np.array(Image.open(tmp_path / "latents.png"))
    assert sprite.shape[:2] == (3 * 4, 3 * 6)  # 3 x 3 cells for 5 images
    np.testing.assert_allclose(sprite[4:8, :6, 0] / 255, images[3, ..., 0], atol=0.01)
    assert not sprite[8:, :, :3].any()
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'image_path: "latents.png"' in config
    assert "single_image_dim: 6\n    single_image_dim: 4" in config
