"""What a trained UNet is judged by: figures, baselines, and pictures to look at."""

import numpy as np
from matplotlib import pyplot as plt

from train_tf.run.report import save_figure
from unet_tf.masks import IGNORE
from unet_tf.metrics import segmentation_metrics


def metrics_of(truth, predicted, class_names):
    """Accuracy, mean IoU and IoU of each class, of masks in arrays.

    Args:
        truth: class ids, any shape, 255 where ignored.
        predicted: class ids, the same shape.
        class_names: one a class.

    Returns:
        Name to number, as `segmentation_metrics`.
    """
    confusion = confusion_of(truth, predicted, len(class_names))
    figures = segmentation_metrics(confusion, class_names)
    return {name: float(value) for name, value in figures.items()}


def confusion_of(truth, predicted, classes):
    """Pixel counts, (true class, predicted class), of masks as in `metrics_of`."""
    counted = truth != IGNORE
    cells = truth[counted].astype(int) * classes + predicted[counted]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def baselines(training_masks, test_masks, class_names):
    """What no network is needed for.

    Args:
        training_masks, test_masks: class ids, (count, height, width).
        class_names: one a class.

    Returns:
        Two rows of figures on the test masks: with the commonest class of the training
        masks everywhere, and with the commonest class of each position.
    """
    classes = range(len(class_names))
    counts = np.stack([(training_masks == number).sum(0) for number in classes])
    everywhere = np.full_like(test_masks, counts.sum((1, 2)).argmax())
    by_position = np.broadcast_to(
        counts.argmax(0).astype(test_masks.dtype), test_masks.shape
    )
    return {
        "baseline_majority_class": metrics_of(test_masks, everywhere, class_names),
        "baseline_positional_prior": metrics_of(test_masks, by_position, class_names),
    }


def colour_masks(masks, colours):
    """Paint class ids.

    Args:
        masks: class ids, (..., height, width); 255 becomes white.
        colours: RGB of each class, 0 to 255.

    Returns:
        (..., height, width, 3), uint8.
    """
    palette = np.full((256, 3), 255, "uint8")
    palette[: len(colours)] = colours
    return palette[masks]


def overlay(photos, masks, colours, strength=0.5):
    """Lay painted masks over photographs, (..., height, width, 3), uint8."""
    painted = colour_masks(masks, colours)
    return np.round(photos * (1 - strength) + painted * strength).astype("uint8")


def draw_predictions(path, photos, truth, predicted, class_names, colours):
    """Draw photographs, the truth and predictions in rows, with the IoU of each.

    Args:
        path: the picture to write.
        photos: (count, height, width, 3), uint8.
        truth: class ids, (count, height, width, 1).
        predicted: title to class ids, (count, height, width).
        class_names, colours: one a class.
    """
    truth = truth[..., 0]
    rows = {"photograph": photos, "truth": colour_masks(truth, colours)}
    rows |= {title: colour_masks(ids, colours) for title, ids in predicted.items()}
    figure, axes = plt.subplots(
        len(rows),
        len(photos),
        figsize=(1.7 * len(photos), 1.9 * len(rows) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for of_row, (title, pictures) in zip(axes, rows.items(), strict=True):
        of_row[0].set_ylabel(title.replace(", ", ",\n", 1))
        for column, (axis, picture) in enumerate(zip(of_row, pictures, strict=True)):
            axis.imshow(picture)
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
    """Figures as a Markdown table.

    Args:
        rows: title to figures, as `metrics_of`; one that there is not is "-".
        class_names: one a class.
    """
    columns = ["accuracy", "mean_iou", *(f"iou_{name}" for name in class_names)]
    titles = ["accuracy", "mean IoU", *(f"IoU {name}" for name in class_names)]
    width = max(map(len, rows))
    lines = [
        f"| {'':{width}} | " + " | ".join(titles) + " |",
        f"| {'-' * width} | " + " | ".join("-" * len(title) for title in titles) + " |",
    ]
    for title, figures in rows.items():
        cells = (
            _cell(figures[name]).ljust(len(column))
            for name, column in zip(columns, titles, strict=True)
        )
        lines.append(f"| {title:{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure, digits=3):
    is_number = figure is not None and not np.isnan(figure)  # None, out of JSON
    return f"{figure:.{digits}f}" if is_number else "-"
