"""Figures of masks, and tables of metrics."""

import numpy as np
from matplotlib import pyplot as plt

from train_tf.run.report import save_figure
from unet_tf.evaluation import metrics_of


def colour_masks(masks, colours):
    """Colour class ids, (..., height, width), as RGB, (..., height, width, 3), uint8.

    `colours` are RGB of each class, 0 to 255; class id 255 becomes white.
    """
    palette = np.full((256, 3), 255, "uint8")
    palette[: len(colours)] = colours
    return palette[masks]


def overlay(images, masks, colours, opacity=0.5):
    """Blend coloured masks with images, (..., height, width, 3), uint8."""
    coloured = colour_masks(masks, colours)
    return np.round(images * (1 - opacity) + coloured * opacity).astype("uint8")


def draw_predictions(path, images, truth, predicted, class_names, colours):
    """Draw images, true masks and predictions in rows, with each prediction's IoU.

    Args:
        images: (count, height, width, 3), uint8.
        truth: class ids, (count, height, width, 1).
        predicted: dict of class ids, (count, height, width), by title.
    """
    truth = truth[..., 0]
    rows = {"image": images, "truth": colour_masks(truth, colours)}
    rows |= {title: colour_masks(ids, colours) for title, ids in predicted.items()}
    figure, axes = plt.subplots(
        len(rows),
        len(images),
        figsize=(1.7 * len(images), 1.9 * len(rows) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axes_of_row, (title, row) in zip(axes, rows.items(), strict=True):
        axes_of_row[0].set_ylabel(title.replace(", ", ",\n", 1))
        for column, (axis, image) in enumerate(zip(axes_of_row, row, strict=True)):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
            if title in predicted:
                iou = metrics_of(truth[column], predicted[title][column], class_names)
                axis.set_title(f"mean IoU {_cell(iou['mean_iou'], 2)}", fontsize=9)
    patches = [
        plt.Rectangle((0, 0), 1, 1, color=np.array(colour) / 255) for colour in colours
    ]
    figure.legend(patches, class_names, loc="outside lower center", ncols=8)
    save_figure(figure, path)


def table(rows, class_names):
    """Format a dict of results of `metrics_of`, by title, as a Markdown table.

    None and NaN become "-".
    """
    columns = ["accuracy", "mean_iou", *(f"iou_{name}" for name in class_names)]
    titles = ["accuracy", "mean IoU", *(f"IoU {name}" for name in class_names)]
    width = max(map(len, rows))
    lines = [
        f"| {'':{width}} | " + " | ".join(titles) + " |",
        f"| {'-' * width} | " + " | ".join("-" * len(title) for title in titles) + " |",
    ]
    for title, metrics in rows.items():
        cells = (
            _cell(metrics[name]).ljust(len(column))
            for name, column in zip(columns, titles, strict=True)
        )
        lines.append(f"| {title:{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value, digits=3):
    is_number = value is not None and not np.isnan(value)  # None comes from JSON
    return f"{value:.{digits}f}" if is_number else "-"
