"""Pictures of what a conditional VAE does, to look at."""

import numpy as np
from matplotlib import pyplot as plt
from tensorboard.plugins import projector

from train_tf.files import atomic_write, write_text
from train_tf.run.report import save_figure


def tile(pictures, zoom=1):
    """Join pictures, (rows, columns, height, width, channels), to one; a pixel becomes
    zoom x zoom of them."""
    rows, columns, height, width, channels = pictures.shape
    joined = np.swapaxes(pictures, 1, 2)
    joined = joined.reshape(rows * height, columns * width, channels)
    return joined.repeat(zoom, axis=0).repeat(zoom, axis=1)


def write_projector(folder, latents, labels, images, class_names):
    """Let TensorBoard's projector show latents as their images, coloured by label.

    Args:
        folder: one that TensorBoard knows, with event files in it.
        latents: (count, latents).
        labels: class ids, (count,).
        images: (count, height, width, channels), in [0, 1].
        class_names: one a class.
    """
    count, height, width, channels = images.shape
    side = int(np.ceil(np.sqrt(count)))
    sheet = np.zeros((side * side, height, width, channels), "float32")
    sheet[:count] = images
    sheet = tile(sheet.reshape(side, side, height, width, channels))
    colours = np.broadcast_to(sheet, (*sheet.shape[:2], 3))
    with atomic_write(folder / "latents.png") as beside:
        plt.imsave(beside, colours)
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


def draw_stacked(path, images, true_names, pictures, sent_names):
    """Draw images stacked in a square, and beside them what they became.

    Args:
        path: the picture to write.
        images, pictures: (count, height, width, channels), in [0, 1].
        true_names, sent_names: of the classes of the images and of the labels that
            were sent, one each.
    """
    side = int(np.ceil(np.sqrt(len(images))))
    cells = max(side, 2)  # room for the titles, however few there are
    height = 1.25 * cells + 0.6
    figure = plt.figure(figsize=(2.3 * cells + 0.6, height))
    halves = figure.subfigures(1, 2)
    for half, title, shown, names in (
        (halves[0], "images", images, true_names),
        (halves[1], "sent with a wrong label", pictures, sent_names),
    ):
        half.suptitle(title, fontsize=11)
        axes = half.subplots(side, side, squeeze=False)
        half.subplots_adjust(0.02, 0.01, 0.98, 1 - 0.6 / height, 0.1, 0.25)
        for number, axis in enumerate(axes.flat):
            axis.axis("off")
            if number < len(shown):
                _show(axis, shown[number])
                axis.set_title(names[number], fontsize=9)
    save_figure(figure, path)


def draw_sheet(path, images, pictures, class_names):
    """Draw each image, and beside it what it becomes under each label.

    Args:
        path: the picture to write.
        images: (count, height, width, channels), in [0, 1].
        pictures: (count, classes, height, width, channels), in [0, 1].
        class_names: one a column.
    """
    rows, columns = len(images), len(class_names) + 1
    figure, axes = plt.subplots(
        rows, columns, squeeze=False, figsize=(0.95 * columns, 0.95 * rows + 0.4)
    )
    for row, (image, relabelled) in enumerate(zip(images, pictures, strict=True)):
        titles = ("image", *class_names)
        for axis, picture, title in zip(
            axes[row], (image, *relabelled), titles, strict=True
        ):
            _show(axis, picture)
            axis.axis("off")
            if row == 0:
                axis.set_title(title, fontsize=8)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.4 / (0.95 * rows + 0.4), 0.04, 0.04)
    save_figure(figure, path)


def draw_pairs(path, images, reconstructions, samples, class_names):
    """Draw images above their reconstructions, and samples of each class below.

    Args:
        path: the picture to write.
        images, reconstructions: (classes, height, width, channels), in [0, 1].
        samples: (rows, classes, height, width, channels), in [0, 1].
        class_names: one a column.
    """
    table = np.concatenate([images[None], reconstructions[None], samples])
    rows, columns = table.shape[:2]
    figure, axes = plt.subplots(
        rows, columns, figsize=(0.95 * columns, 0.95 * rows + 0.4)
    )
    sides = ("image", "again", *["sample"] * len(samples))
    for row, title in enumerate(sides):
        for column, axis in enumerate(axes[row]):
            _show(axis, table[row, column])
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(class_names[column], fontsize=8)
            if column == 0:
                axis.set_ylabel(title, fontsize=8)
    figure.subplots_adjust(0.04, 0.01, 0.99, 1 - 0.4 / (0.95 * rows + 0.4), 0.04, 0.04)
    save_figure(figure, path)


def _show(axis, picture):
    if picture.shape[-1] == 1:
        axis.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        axis.imshow(picture)
