"""What becomes of an image that is sent with a wrong label: scores and pictures."""

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import report
from cvae_tf.data import scaled, wrong_labels
from cvae_tf.judge import read_labels
from cvae_tf.networks import label_reader
from cvae_tf.style import STYLES, correlations, sharpness
from train_tf import export

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


def score(relabeller, judge, images, seed=0):
    """Send every test image with a wrong label, and have the outputs judged.

    Args:
        relabeller: has `relabel` and `encode`, as `Relabeller`.
        judge: as in `cvae_tf.judge.find_judge`.
        images: `cvae_tf.data.LabelledImages`.
        seed: what the wrong labels follow from.

    Returns:
        "obedience" and "still_true": shares of the outputs that the judge reads as the
        label that was sent, and as the true one;
        "style": name to correlation, see `cvae_tf.style`;
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
        "obedience": float(np.mean(read == sent)),
        "still_true": float(np.mean(read == truth)),
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
    reader = label_reader(learnt.shape[-1], len(images.class_names))
    reader.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    reader.fit(learnt, images.train.labels, batch_size=500, epochs=epochs, verbose=0)
    return reader.evaluate(asked, images.test.labels, verbose=0, return_dict=True)[
        "accuracy"
    ]


def draw_wrong_labels(folder, relabeller, part, names, count=25, seed=0):
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
    titles = [f"{names[a]} → {names[b]}" for a, b in zip(truth, sent, strict=True)]
    pictures = np.asarray(relabeller.relabel(images, sent))
    report.draw_stacked(folder / "wrong_labels.png", images, pictures, titles)
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
