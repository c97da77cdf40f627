"""A judge from outside: a classifier of real images, which no VAE is trained by.

It says as what a relabelled picture is read. It is trained once for a data set and
kept; its own accuracy on the real test images stands beside everything that it says.
"""

import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
from keras import layers

from cvae_tf.data import mirror_half, scaled
from cvae_tf.layers import convolution
from train_tf.data import pipeline
from train_tf.errors import InputError
from train_tf.files import atomic_write, read_json, write_json
from train_tf.layers import FusedBatchNormalization

SIZES = {"mnist": (16, 6), "cifar10": (32, 12)}  # filters and epochs
BATCH_SIZE = 128
HIGHEST_RATE = 3e-3
CLASSIFIERS = Path("runs/judges")  # where they are kept
DAMAGED = (ValueError, LookupError, TypeError, OSError, zipfile.BadZipFile, zlib.error)


def find_classifier(dataset, images, folder=CLASSIFIERS):
    """The judge of a data set: the one that was kept, or a new one.

    Args:
        dataset: the set's name.
        images: `cvae_tf.data.LabelledImages`.
        folder: where judges are kept, by the set and how many images they learnt from.

    Returns:
        A classifier, images -> logits, and its accuracy on the real test images.

    Raises:
        InputError: if the one that was kept is damaged.
    """
    count = images.counts["train"]
    place = Path(folder) / f"{dataset}-{count}"
    if not place.exists():
        print(f"Training the judge of {dataset} on {count:,} real images")
        judge = train_classifier(images, *SIZES[dataset])
        accuracy = accuracy_of(judge, images.test)
        with atomic_write(place) as beside:
            beside.mkdir()
            judge.save(beside / "judge.keras")
            write_json(beside / "accuracy.json", {"accuracy": accuracy})
    try:
        judge = keras.saving.load_model(place / "judge.keras", compile=False)
        accuracy = float(read_json(place / "accuracy.json")["accuracy"])
    except DAMAGED as error:
        raise InputError(
            f"The judge in {place} is damaged: delete the folder, and the judge is "
            f"trained again. {error}"
        ) from error
    print(f"Judge: reads {accuracy:.1%} of the real test images right ({place})")
    return judge, accuracy


def build_classifier(image_shape, classes, filters):
    """Three pairs of normalised convolutions and one dense layer."""
    image = keras.Input(image_shape, name="image")
    x = image
    for level in range(3):
        for part in ("a", "b"):
            name = f"level_{level + 1}_{part}"
            x = convolution(x, filters * 2**level, name, use_bias=False)
            x = FusedBatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    x = layers.Dense(classes, name="label", dtype="float32")(x)
    return keras.Model(image, x, name="judge")


def train_classifier(images, filters, epochs, seed=0):
    """Train a judge on the real training images, shifted and mirrored at random."""
    keras.utils.set_random_seed(seed)
    judge = build_classifier(images.image_shape, len(images.class_names), filters)
    steps = pipeline.steps_of(images.counts["train"], BATCH_SIZE) * epochs
    rate = keras.optimizers.schedules.CosineDecay(
        HIGHEST_RATE / 100,
        steps - steps // 10,
        warmup_target=HIGHEST_RATE,
        warmup_steps=steps // 10,
    )
    judge.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    shift = layers.RandomTranslation(0.12, 0.12, fill_mode="constant")

    def prepare(batch, labels, draws):
        if images.mirrored:
            batch = mirror_half(batch, draws)
        change = shift.get_random_transformation(batch, training=True, seed=draws)
        return shift.transform_images(scaled(batch), change, training=True), labels

    batches = pipeline.training_batches(
        images.train, BATCH_SIZE, prepare, range(epochs), seed
    )
    judge.fit(
        batches,
        steps_per_epoch=steps // epochs,
        epochs=epochs,
        verbose=0,
        shuffle=False,
    )
    return judge


def read_labels(judge, pictures):
    """As what a judge reads pictures in [0, 1]: class ids, (count,)."""
    return judge.predict(pictures, batch_size=500, verbose=0).argmax(-1)


def accuracy_of(judge, part):
    """How much of a `cvae_tf.data.Part` a judge reads right, in [0, 1]."""
    read = read_labels(judge, scaled(part.images).numpy())
    return float(np.mean(read == part.labels))
