"""The evaluation classifier: predicts the labels of relabelled images.

It is trained on real images, independently of any VAE, once per data set; its accuracy
on the real test images is reported with every score.
"""

import hashlib
import inspect
import zlib
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
from keras import layers

from cvae_tf.data import random_flip, to_float
from cvae_tf.layers import convolution
from train_tf.data import pipeline
from train_tf.data.datasets import DATASETS
from train_tf.errors import InputError
from train_tf.files import atomic_write, read_json, write_json
from train_tf.layers import FusedBatchNormalization

FOLDER = Path("runs/evaluation_classifiers")
LOAD_ERRORS = (ValueError, LookupError, TypeError, OSError, BadZipFile, zlib.error)


def load_or_train_classifier(dataset, data, folder=FOLDER):
    """Load the evaluation classifier of a data set; train it if there is none.

    Args:
        dataset: a name in `train_tf.data.datasets.labelled_datasets()`.
        data: `cvae_tf.data.LabelledImages`.
        folder: folder of all classifiers, by data set and `fingerprint`.

    Returns:
        The classifier, images in [0, 1] -> logits, and its accuracy on the test images.

    Raises:
        InputError: if the classifier's files are damaged.
    """
    spec = DATASETS[dataset].cvae
    size = (spec.classifier_filters, spec.classifier_epochs)
    cache = Path(folder) / f"{dataset}-{fingerprint(data.train, *size)}"
    if not cache.exists():
        count = data.counts["train"]
        print(f"Training the evaluation classifier of {dataset} on {count:,} images")
        classifier = train_classifier(data, *size)
        accuracy = accuracy_of(classifier, data.test)
        with atomic_write(cache) as partial:
            partial.mkdir()
            classifier.save(partial / "classifier.keras")
            write_json(partial / "accuracy.json", {"accuracy": accuracy})
    try:
        classifier = keras.saving.load_model(cache / "classifier.keras", compile=False)
        accuracy = float(read_json(cache / "accuracy.json")["accuracy"])
    except LOAD_ERRORS as error:
        raise InputError(
            f"The evaluation classifier in {cache} is damaged: delete the folder, and "
            f"it is trained again. {error}"
        ) from error
    print(f"Evaluation classifier: accuracy {accuracy:.1%} on test images ({cache})")
    return classifier, accuracy


def fingerprint(split, filters, epochs):
    """12 hex digits that change with a classifier's code, size or training images."""
    code = (build_classifier, train_classifier, convolution, random_flip, to_float)
    digest = hashlib.sha256(f"{filters} {epochs}".encode())
    for function in code:
        digest.update(inspect.getsource(function).encode())
    for array in split:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:12]


def build_classifier(image_shape, classes, filters):
    """Build three pairs of convolutions with batch norm, and a dense layer."""
    image = keras.Input(image_shape, name="image")
    x = image
    for level in range(3):
        for letter in ("a", "b"):
            name = f"level_{level + 1}_{letter}"
            x = convolution(x, filters * 2**level, name, use_bias=False)
            x = FusedBatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    x = layers.Dense(classes, name="label", dtype="float32")(x)
    return keras.Model(image, x, name="evaluation_classifier")


def train_classifier(data, filters, epochs, seed=0, batch_size=128, learning_rate=3e-3):
    """Train a classifier on the training images, translated and flipped at random."""
    keras.utils.set_random_seed(seed)
    classes = len(data.class_names)
    classifier = build_classifier(data.image_shape, classes, filters)
    steps = pipeline.num_batches(data.counts["train"], batch_size) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 100,
        steps - steps // 10,
        warmup_target=learning_rate,
        warmup_steps=steps // 10,
    )
    classifier.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    translation = layers.RandomTranslation(0.12, 0.12, fill_mode="constant")

    def prepare(batch, labels, draws):
        if data.horizontal_flip:
            batch = random_flip(batch, draws)
        shift = translation.get_random_transformation(batch, training=True, seed=draws)
        batch = translation.transform_images(to_float(batch), shift, training=True)
        return batch, labels

    batches = pipeline.training_batches(
        data.train, batch_size, prepare, range(epochs), seed
    )
    classifier.fit(
        batches,
        steps_per_epoch=steps // epochs,
        epochs=epochs,
        verbose=0,
        shuffle=False,
    )
    return classifier


def predict_labels(classifier, images):
    """Predict the class ids, (count,), of images in [0, 1]."""
    return classifier.predict(images, batch_size=500, verbose=0).argmax(-1)


def accuracy_of(classifier, split):
    """Accuracy, in [0, 1], of a classifier on a `cvae_tf.data.Split`."""
    predicted = predict_labels(classifier, to_float(split.images).numpy())
    return float(np.mean(predicted == split.labels))
