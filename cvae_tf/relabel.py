"""What becomes of an image that is sent with a wrong label: scores and pictures."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import report
from cvae_tf.data import SHOWN, load_images, scaled, wrong_labels
from cvae_tf.evaluation.classifier import CLASSIFIERS, find_classifier, read_labels
from cvae_tf.evaluation.style import STYLES, correlations, sharpness
from cvae_tf.networks import latent_discriminator
from train_tf import devices, export
from train_tf.data.images import read_image
from train_tf.errors import InputError
from train_tf.files import write_json

BATCH_SIZE = 500


class Relabeller:
    """A conditional VAE's SavedModel, ready for images and labels.

    Args:
        model: as in `train_tf.export.load`.

    Attributes:
        dataset, class_names, image_shape: what it was trained on.

    Raises:
        InputError: if there is no such SavedModel.
    """

    def __init__(self, model):
        self._model, about = export.load(model, "CVAE")
        self.dataset, self.class_names = about["dataset"], about["class_names"]
        self.image_shape = tuple(about["image_shape"])

    def relabel(self, images, labels):
        """Pictures of images, (count, height, width, channels) in [0, 1], under labels.

        Args:
            labels: class ids, (count,).

        Returns:
            As the images.
        """
        return self._in_batches("serving_default", "image", images, labels)

    def encode(self, images, labels):
        """The mean of the latents of images, (count, latents)."""
        return self._in_batches("encode", "latent_mean", images, labels)

    def _in_batches(self, signature, output, images, labels):
        run = self._model.signatures[signature]
        parts = []
        for start in range(0, len(images), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            given = {
                "image": tf.constant(images[rows], tf.float32),
                "label": tf.constant(labels[rows], tf.int32),
            }
            parts.append(run(**given)[output].numpy())
        return np.concatenate(parts)


def evaluate_relabelling(
    model, out, count=SHOWN, judged=True, data_dir=None, seed=0, judges=CLASSIFIERS
):
    """Draw test images sent with a wrong label, and score the whole test set.

    Args:
        model: as in `Relabeller`.
        out: the folder for wrong_labels.png, all_labels.png and scores.json.
        count: pictures in the stack.
        judged: whether to score; a judge is trained if there is none.
        data_dir: as in `train_tf.data.datasets.find_dataset`.
        seed: what images and wrong labels follow from.
        judges: folder where judges are kept.

    Returns:
        What there is to read and to look at, as text.

    Raises:
        InputError: if there is no such model or no such set.
    """
    devices.set_up("auto", seed, "one")
    relabeller = Relabeller(model)
    images = load_images(relabeller.dataset, data_dir)
    available = images.counts["test"]
    if count > available:
        raise InputError(f"Expected --count of at most {available}. Received: {count}")
    draw_wrong_labels(out, relabeller, images.test, images.class_names, count, seed)
    told = f"Pictures: {out}/wrong_labels.png, {out}/all_labels.png"
    if not judged:
        return told
    judge, accuracy = find_classifier(relabeller.dataset, images, judges)
    scores = {
        "model": str(model),
        "images": images.counts,
        "classifier_accuracy": accuracy,
        "classes": len(images.class_names),
        **score(relabeller, judge, images, seed),
    }
    write_json(out / "scores.json", scores)
    return f"{as_text(scores)}\n{told}, scores: {out}/scores.json"


def relabel_image(model, image, label, out):
    """Draw a picture file under a label, or under each.

    Args:
        model: as in `Relabeller`.
        image: a file in any format that Pillow opens.
        label: a class's number or name; None for a sheet of all.
        out: the folder to write to.

    Returns:
        The file that was written, as text.

    Raises:
        InputError: if there is no such model, picture or label.
    """
    relabeller = Relabeller(model)
    names = relabeller.class_names
    asked = range(len(names)) if label is None else [_number_of(label, names)]
    picture = prepare_own(read_image(image), relabeller.image_shape)
    images = np.repeat(picture[None], len(asked), axis=0)
    relabelled = relabeller.relabel(images, np.array(asked, "int32"))
    shown = [names[number] for number in asked]
    name = "all_labels" if label is None else f"as_{shown[0]}"
    file = out / f"{Path(image).stem}_{name}.png"
    report.draw_sheet(file, picture[None], relabelled[None], shown)
    return f"Picture: {file}"


def prepare_own(picture, image_shape):
    """Make a picture like those of the set.

    In colour, it is squeezed to the set's size. In grey, as MNIST was made: light on
    dark, cut to its strokes, these scaled to fit the middle 20 of 28 pixels, and their
    centre of mass brought to the middle.

    Args:
        picture: (height, width, 3), uint8.
        image_shape: (height, width, channels) of the set.

    Returns:
        The image, of that shape, float32 in [0, 1]; black where there is no stroke.
    """
    height, width, channels = image_shape
    picture = picture.astype("float32") / 255
    if channels == 3:
        resized = tf.image.resize(picture, (height, width), antialias=True)
        return resized.numpy().clip(0, 1)  # rounding may leave the range
    grey = picture.mean(-1)
    grey -= np.median(grey)  # the paper's
    grey = np.maximum(grey if grey.max() > -grey.min() else -grey, 0)
    grey /= max(grey.max(), 0.1)
    rows, columns = (np.flatnonzero((grey > 0.3).any(axis)) for axis in (1, 0))
    image = np.zeros(image_shape, "float32")
    if not len(rows):
        return image
    grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = (height - 2 * round(height / 7)) / max(grey.shape)
    tall, wide = (max(1, round(side * scale)) for side in grey.shape)
    strokes = tf.image.resize(grey[..., None], (tall, wide), antialias=True).numpy()
    top = _centred(strokes.sum((1, 2)), height)
    left = _centred(strokes.sum((0, 2)), width)
    image[top : top + tall, left : left + wide] = strokes
    return image.clip(0, 1)


def _centred(weights, side):
    """Where to begin with weights, so that their centre is in the middle of a side."""
    centre = np.average(np.arange(len(weights)), weights=weights)
    return int(np.clip(round((side - 1) / 2 - centre), 0, side - len(weights)))


def as_text(scores):
    """Scores as lines to read."""
    style = ", ".join(f"{name} {value:.2f}" for name, value in scores["style"].items())
    chance = 1 / scores["classes"]
    return (
        f"Of {scores['images']['test']:,} test images with a wrong label, by a judge "
        f"that reads {scores['judge_accuracy']:.1%} of the real ones right:\n"
        f"  read as the label sent    {scores['obedience']:.1%}\n"
        f"  still read as the true    {scores['still_true']:.1%}\n"
        f"  style kept, correlation   {style}\n"
        f"  sharpness, of the images' {scores['sharpness']:.2f}\n"
        f"  label read from the style {scores['leakage']:.1%} (chance {chance:.0%})"
    )


def score(relabeller, judge, images, seed=0):
    """Send every test image with a wrong label, and have the outputs judged.

    Args:
        relabeller: has `relabel` and `encode`, as `Relabeller`.
        judge: as in `cvae_tf.evaluation.classifier.find_classifier`.
        images: `cvae_tf.data.LabelledImages`.
        seed: what the wrong labels follow from.

    Returns:
        "label_accuracy" and "source_accuracy": shares of the outputs that the judge reads as the
        label that was sent, and as the true one;
        "style": name to correlation, see `cvae_tf.evaluation.style`;
        "sharpness": of the outputs, as a share of that of the images;
        "leakage": how often a fresh classifier reads the label from the latents.
    """
    truth, classes = images.test.labels, len(images.class_names)
    sent = wrong_labels(truth, classes, seed)
    before = scaled(images.test.images).numpy()
    after = relabeller.relabel(before, sent)
    read = read_labels(judge, after)
    styles = STYLES[relabeller.dataset]
    return {
        "label_accuracy": float(np.mean(read == sent)),
        "source_accuracy": float(np.mean(read == truth)),
        "style": correlations(styles(before), styles(after), truth, sent),
        "sharpness": sharpness(after) / sharpness(before),
        "leakage": leakage(relabeller, images, seed),
    }


def leakage(relabeller, images, seed=0, epochs=20):
    """How often a fresh classifier reads the label of a test image from its latents.

    Args:
        relabeller, images, seed: as in `score`.
        epochs: how long it learns, on the latents of the training images.
    """
    keras.utils.set_random_seed(seed)
    learnt, asked = (
        relabeller.encode(scaled(part.images).numpy(), part.labels)
        for part in (images.train, images.test)
    )
    reader = latent_discriminator(learnt.shape[-1], len(images.class_names))
    reader.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    reader.fit(learnt, images.train.labels, batch_size=500, epochs=epochs, verbose=0)
    return reader.evaluate(asked, images.test.labels, verbose=0, return_dict=True)[
        "accuracy"
    ]


def draw_wrong_labels(folder, relabeller, part, names, count=SHOWN, seed=0):
    """Draw the stacked picture of images under wrong labels, and the sheet of ten.

    Args:
        folder: where wrong_labels.png and all_labels.png go.
        relabeller: as in `score`.
        part: a `cvae_tf.data.Part`.
        names: of the classes.
        count: pictures in the stack.
        seed: what the images and their wrong labels follow from.
    """
    rows = np.random.default_rng(seed).choice(len(part.labels), count, replace=False)
    images, truth = scaled(part.images[rows]).numpy(), part.labels[rows]
    sent = wrong_labels(truth, len(names), seed)
    pictures = np.asarray(relabeller.relabel(images, sent))
    report.draw_stacked(
        folder / "wrong_labels.png",
        images,
        [names[label] for label in truth],
        pictures,
        [f"as {names[label]}" for label in sent],
    )
    first = first_of_each(part.labels, len(names))
    images = scaled(part.images[first]).numpy()
    pictures = under_all_labels(relabeller, images, len(names))
    report.draw_sheet(folder / "all_labels.png", images, pictures, names)


def under_all_labels(relabeller, images, classes):
    """What each image becomes under each label: (count, classes, height, width, c)."""
    labels = np.tile(np.arange(classes, dtype="int32"), len(images))
    pictures = relabeller.relabel(np.repeat(images, classes, axis=0), labels)
    return np.asarray(pictures).reshape(len(images), classes, *images.shape[1:])


def first_of_each(labels, classes):
    """The rows of the first example of each class that there is."""
    return np.array([np.argmax(labels == c) for c in range(classes) if c in labels])


def _number_of(label, names):
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    known = ", ".join(f"{number} {name}" for number, name in enumerate(names))
    raise InputError(
        f"Expected --label from 0 to {len(names) - 1}, or a name ({known}). "
        f"Received: {label}"
    )
