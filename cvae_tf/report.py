"""Figures of images, and the files of TensorBoard's projector."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from tensorboard.plugins import projector

from train_tf.files import atomic_write, write_text
from train_tf.run.report import save_figure

TITLE_INCHES = 0.4
GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}  # without effect on colour images


def tile(images, zoom=1):
    """Join images, (rows, columns, height, width, channels), to one.

    Each pixel becomes zoom x zoom pixels: (rows * height * zoom, columns * width *
    zoom, channels).
    """
    rows, columns, height, width, channels = images.shape
    joined = np.swapaxes(images, 1, 2)
    joined = joined.reshape(rows * height, columns * width, channels)
    return joined.repeat(zoom, axis=0).repeat(zoom, axis=1)


def write_projector(folder, latents, labels, images, class_names):
    """Write latents for TensorBoard's projector, with their images and labels.

    Args:
        folder: folder of TensorBoard's event files.
        latents: (count, latents).
        labels: class ids, (count,).
        images: (count, height, width, channels), in [0, 1].
    """
    folder = Path(folder)
    count, height, width, channels = images.shape
    side = int(np.ceil(np.sqrt(count)))
    sprite = np.pad(images, [(0, side * side - count), (0, 0), (0, 0), (0, 0)])
    sprite = tile(sprite.reshape(side, side, height, width, channels))
    colours = np.broadcast_to(sprite, (*sprite.shape[:2], 3))
    with atomic_write(folder / "latents.png") as partial:
        plt.imsave(partial, colours)
    rows = ("\t".join(f"{x:.5g}" for x in row) for row in latents)
    write_text(folder / "latents.tsv", "\n".join(rows) + "\n")
    names = (class_names[label] for label in labels)
    write_text(folder / "labels.tsv", "\n".join(names) + "\n")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name="latents", tensor_path="latents.tsv", metadata_path="labels.tsv"
    )
    embedding.sprite.image_path = "latents.png"
    embedding.sprite.single_image_dim.extend([width, height])
    projector.visualize_embeddings(folder, config)


def draw_side_by_side(path, images, labels, relabelled, requested):
    """Draw images in a square grid, and the relabelled images in another beside it.

    Args:
        images, relabelled: (count, height, width, channels), in [0, 1].
        labels, requested: titles of the images and of the relabelled images.
    """
    side = int(np.ceil(np.sqrt(len(images))))
    cells = max(side, 2)  # room for the titles
    height = 1.25 * cells + 0.6
    figure = plt.figure(figsize=(2.3 * cells + 0.6, height))
    left, right = figure.subfigures(1, 2)
    for half, title, tiles, names in (
        (left, "images", images, labels),
        (right, "under a wrong label", relabelled, requested),
    ):
        half.suptitle(title, fontsize=11)
        axes = half.subplots(side, side, squeeze=False)
        half.subplots_adjust(0.02, 0.01, 0.98, 1 - 0.6 / height, 0.1, 0.25)
        for axis in axes.flat:
            axis.axis("off")
        for axis, image, name in zip(axes.flat, tiles, names, strict=False):
            axis.imshow(image, **GREY)
            axis.set_title(name, fontsize=9)
    save_figure(figure, path)


def draw_all_labels(path, images, relabelled, class_names):
    """Draw a row for each image: the image, then its relabelled images.

    Args:
        images: (count, height, width, channels), in [0, 1].
        relabelled: (count, classes, height, width, channels), in [0, 1].
    """
    table = np.concatenate([images[:, None], relabelled], axis=1)
    figure, axes = _grid(table, 0.01)
    for axis, title in zip(axes[0], ("image", *class_names), strict=True):
        axis.set_title(title, fontsize=8)
    save_figure(figure, path)


def draw_reconstructions(path, images, reconstructions, samples, class_names):
    """Draw images above their reconstructions, and samples of each class below.

    Args:
        images, reconstructions: (classes, height, width, channels), in [0, 1].
        samples: (rows, classes, height, width, channels), in [0, 1].
    """
    table = np.concatenate([images[None], reconstructions[None], samples])
    figure, axes = _grid(table, 0.04)
    titles = ("image", "reconstruction", *["sample"] * len(samples))
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title, fontsize=8)
    for axis, name in zip(axes[0], class_names, strict=True):
        axis.set_title(name, fontsize=8)
    save_figure(figure, path)


def _grid(table, left):
    """Draw images, (rows, columns, height, width, channels); return figure and axes."""
    rows, columns = table.shape[:2]
    height = 0.95 * rows + TITLE_INCHES
    figure, axes = plt.subplots(
        rows, columns, squeeze=False, figsize=(0.95 * columns, height)
    )
    for axis, image in zip(axes.flat, table.reshape(-1, *table.shape[2:]), strict=True):
        axis.imshow(image, **GREY)
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
    figure.subplots_adjust(left, 0.01, 0.99, 1 - TITLE_INCHES / height, 0.04, 0.04)
    return figure, axes
