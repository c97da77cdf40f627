"""Relabel images with a SavedModel: draw figures and compute scores."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cvae_tf import report
from cvae_tf.data import WRONG_LABEL_IMAGES, load_images, to_float, wrong_labels
from cvae_tf.evaluation.classifier import FOLDER, load_or_train_classifier
from cvae_tf.evaluation.scores import as_text, score
from train_tf import devices, export
from train_tf.data.images import read_image
from train_tf.errors import InputError
from train_tf.files import write_json

BATCH_SIZE = 500


class Relabeller:
    """A conditional VAE's SavedModel, called with arrays of any length.

    Args:
        model: folder saved_models/<name>/<version>, or saved_models/<name> for its
            highest version.

    Attributes:
        dataset, class_names, image_shape: what the model was trained on.

    Raises:
        InputError: if there is no such SavedModel.

    Example:
        >>> relabeller = Relabeller("saved_models/mnist_compact_gaussian")
        >>> eights = relabeller.relabel(images, [8] * len(images))
    """

    def __init__(self, model):
        self._model, description = export.load(model, "CVAE")
        self.dataset = description["dataset"]
        self.class_names = description["class_names"]
        self.image_shape = tuple(description["image_shape"])

    def relabel(self, images, labels):
        """Redraw images, (count, height, width, channels) in [0, 1], under labels.

        Returns:
            Images of the same shape, float32.
        """
        return self._in_batches("serving_default", "image", images, labels)

    def encode(self, images, labels):
        """The mean of the images' latents, (count, latents)."""
        return self._in_batches("encode", "latent_mean", images, labels)

    def _in_batches(self, signature, output, images, labels):
        run = self._model.signatures[signature]
        outputs = []
        for start in range(0, len(images), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            image = tf.constant(images[rows], tf.float32)
            label = tf.constant(labels[rows], tf.int32)
            outputs.append(run(image=image, label=label)[output].numpy())
        return np.concatenate(outputs)


def evaluate_relabelling(
    model,
    out,
    count=WRONG_LABEL_IMAGES,
    evaluate=True,
    data_dir=None,
    seed=0,
    classifiers=FOLDER,
):
    """Draw test images under wrong labels, and score the whole test set.

    Args:
        model: see `Relabeller`.
        out: folder for wrong_labels.png, all_labels.png and scores.json.
        count: number of images in wrong_labels.png.
        evaluate: whether to score; trains an evaluation classifier if there is none.
        data_dir: see `train_tf.data.datasets.find_dataset`.
        seed: integer seed of the choice of images and wrong labels.
        classifiers: folder of the evaluation classifiers.

    Returns:
        The scores and the paths of the files, as text.

    Raises:
        InputError: if there is no such model or data set, or `count` is too high.
    """
    out = Path(out)
    devices.set_up("auto", seed)
    relabeller = Relabeller(model)
    data = load_images(relabeller.dataset, data_dir)
    available = data.counts["test"]
    if count > available:
        raise InputError(
            f"Expected count (--count) of at most {available}. Received: {count}"
        )
    draw_wrong_labels(out, relabeller, data.test, data.class_names, count, seed)
    files = f"Figures: {out}/wrong_labels.png, {out}/all_labels.png"
    if not evaluate:
        return files
    classifier, accuracy = load_or_train_classifier(
        relabeller.dataset, data, classifiers
    )
    scores = {
        "model": str(model),
        "images": data.counts,
        "classifier_accuracy": accuracy,
        "classes": len(data.class_names),
        **score(relabeller, classifier, data, seed),
    }
    write_json(out / "scores.json", scores)
    return f"{as_text(scores)}\n{files}, scores: {out}/scores.json"


def relabel_image(model, image, label, out):
    """Redraw an image file under one label, or under each.

    Args:
        model: see `Relabeller`.
        image: a file in any format that Pillow opens.
        label: id or name of a class; None for all.
        out: folder of the figure.

    Returns:
        The path of the figure, as text.

    Raises:
        InputError: if there is no such model, image or label.
    """
    relabeller = Relabeller(model)
    names = relabeller.class_names
    labels = range(len(names)) if label is None else [_class_id(label, names)]
    original = prepare_image(read_image(image), relabeller.image_shape)
    images = np.repeat(original[None], len(labels), axis=0)
    relabelled = relabeller.relabel(images, np.array(labels, "int32"))
    columns = [names[number] for number in labels]
    suffix = "all_labels" if label is None else f"as_{columns[0]}"
    file = Path(out) / f"{Path(image).stem}_{suffix}.png"
    report.draw_all_labels(file, original[None], relabelled[None], columns)
    return f"Figure: {file}"


def prepare_image(image, image_shape):
    """Make an image like those of the data set.

    For a colour data set, it is resized. For a grey one, it is prepared like MNIST:
    light on dark, cropped to its strokes, scaled to the middle 20 of 28 pixels, centred
    by mass.

    Args:
        image: (height, width, 3), uint8.
        image_shape: (height, width, channels) of the data set.

    Returns:
        An image of `image_shape`, float32 in [0, 1]; black if there is no stroke.
    """
    height, width, channels = image_shape
    image = image.astype("float32") / 255
    if channels == 3:
        resized = tf.image.resize(image, (height, width), antialias=True)
        return resized.numpy().clip(0, 1)  # rounding may leave the range
    grey = image.mean(-1)
    grey -= np.median(grey)  # subtract the background
    grey = np.maximum(grey if grey.max() > -grey.min() else -grey, 0)
    grey /= max(grey.max(), 0.1)
    rows, columns = (np.flatnonzero((grey > 0.3).any(axis)) for axis in (1, 0))
    prepared = np.zeros(image_shape, "float32")
    if not len(rows):
        return prepared
    grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = (height - 2 * round(height / 7)) / max(grey.shape)
    size = tuple(max(1, round(side * scale)) for side in grey.shape)
    strokes = tf.image.resize(grey[..., None], size, antialias=True).numpy()
    top = _centring_offset(strokes.sum((1, 2)), height)
    left = _centring_offset(strokes.sum((0, 2)), width)
    prepared[top : top + size[0], left : left + size[1]] = strokes
    return prepared.clip(0, 1)


def draw_wrong_labels(
    folder, relabeller, split, class_names, count=WRONG_LABEL_IMAGES, seed=0
):
    """Draw wrong_labels.png and all_labels.png.

    The first shows images under a wrong label each, the second the first image of each
    class under all labels.

    Args:
        relabeller: an object with `Relabeller.relabel`.
        split: a `cvae_tf.data.Split`.
        count, seed: see `evaluate_relabelling`.
    """
    folder = Path(folder)
    rows = np.random.default_rng(seed).choice(len(split.labels), count, replace=False)
    images, labels = to_float(split.images[rows]).numpy(), split.labels[rows]
    requested = wrong_labels(labels, len(class_names), seed)
    report.draw_side_by_side(
        folder / "wrong_labels.png",
        images,
        [class_names[label] for label in labels],
        np.asarray(relabeller.relabel(images, requested)),
        [f"as {class_names[label]}" for label in requested],
    )
    first = first_of_each(split.labels, len(class_names))
    images = to_float(split.images[first]).numpy()
    relabelled = under_all_labels(relabeller, images, len(class_names))
    report.draw_all_labels(folder / "all_labels.png", images, relabelled, class_names)


def under_all_labels(relabeller, images, classes):
    """Redraw each image under each label: (count, classes, height, width, channels)."""
    labels = np.tile(np.arange(classes, dtype="int32"), len(images))
    relabelled = relabeller.relabel(np.repeat(images, classes, axis=0), labels)
    return np.asarray(relabelled).reshape(len(images), classes, *images.shape[1:])


def first_of_each(labels, classes):
    """Rows of the first example of each class that is present."""
    return np.array([np.argmax(labels == c) for c in range(classes) if c in labels])


def _centring_offset(weights, side):
    """Offset that moves the centre of mass of weights to the middle of a side."""
    centre = np.average(np.arange(len(weights)), weights=weights)
    return int(np.clip(round((side - 1) / 2 - centre), 0, side - len(weights)))


def _class_id(label, names):
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    known = ", ".join(f"{number} {name}" for number, name in enumerate(names))
    raise InputError(
        f"Expected label (--label) from 0 to {len(names) - 1}, or a name ({known}). "
        f"Received: {label}"
    )
