"""Export a SavedModel to other runtimes, reload it there and compare on real images."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.data import load_images, to_float, wrong_labels
from serve_tf.check import split_rows
from serve_tf.runtimes import export_to, load_from
from train_tf.data.datasets import DATASETS
from train_tf.data.images import image_files, read_image
from train_tf.errors import InputError
from train_tf.export import highest_version, load
from unet_tf.config import UNetConfig
from unet_tf.data import load_data, resize_image
from unet_tf.evaluation import metrics_of

CALIBRATION_IMAGES = 64
TEST_IMAGES = 500  # at most
BATCH_SIZE = 32
ROUNDS = 15  # the runtimes are timed in turn, in each


class Samples(NamedTuple):
    """Requests that runtimes are compared on.

    test: dict, name -> array, of test images.
    calibration: dict, name -> array, of training images, for int8. With a folder of
        images, both are from it.
    output: name of the output to compare.
    masks: class ids of the test images, (count, height, width); None if unknown.
    """

    test: dict
    calibration: dict
    output: str
    masks: np.ndarray | None = None


def export_and_compare(model, formats, quantize, out, images=None):
    """Export a SavedModel to runtimes, reload it there and compare.

    Args:
        model: saved_models/<name> or <name>/<version>.
        formats: names of `serve_tf.runtimes.RUNTIMES`.
        quantize: "none" or "int8".
        out: parent folder of the exports.
        images: folder of images that a UNet is calibrated and compared on; None for
            the pets. A VAE uses its own data set.

    Returns:
        A row for the SavedModel and one per format: dict, title -> row. A runtime that
        does not support the model has "error" instead of metrics.

    Raises:
        InputError: if there is no such model, an export exists already, or `images`
            are missing or do not apply.
    """
    folder = highest_version(model)
    _, description = load(folder)
    titles = {x: x if quantize == "none" else f"{x} {quantize}" for x in formats}
    folders = {x: Path(out) / title.replace(" ", "_") for x, title in titles.items()}
    if existing := [str(path) for path in folders.values() if path.exists()]:
        raise InputError(
            f"Exports are there already: {', '.join(existing)}. Remove them, or choose "
            "another output folder (--out)."
        )
    if description["kind"] == "UNet":
        samples = _unet_samples(description, images, quantize)
    else:
        samples = _cvae_samples(description, images)
    calibration = split_rows(samples.calibration) if quantize == "int8" else None
    rows = {"SavedModel": {"bytes": _size(folder)}}
    runs = {"SavedModel": load_from("saved_model", folder)}
    for runtime, title in titles.items():
        try:
            file = export_to(runtime, folder, folders[runtime], calibration)
            runs[title] = load_from(runtime, file)
            rows[title] = {"bytes": _size(folders[runtime])}
        except InputError as error:
            rows[title] = {"error": str(error)}
    expected = _predict(runs["SavedModel"], samples.test)
    for title, run in runs.items():
        outputs = _predict(run, samples.test)
        rows[title] |= _metrics(outputs, expected, samples, description["class_names"])
    for title, speed in _speeds(runs, samples.test).items():
        rows[title] |= speed
    return rows


def as_table(rows):
    """Rows of `export_and_compare` as a Markdown table."""
    first = rows["SavedModel"]
    lines = [
        f"| runtime | largest difference, {first['images']} images | mean | mean IoU | "
        f"MiB | ms, 1 image | images/s, batches of {first['batch_size']} |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, row in rows.items():
        if "error" in row:
            lines.append(f"| {title} | {row['error']} | | | | | |")
            continue
        iou = f"{row['mean_iou']:.4f}" if "mean_iou" in row else ""
        lines.append(
            f"| {title} | {row['largest_difference']:.1g} | "
            f"{row['mean_difference']:.1g} | {iou} | "
            f"{row['bytes'] / 2**20:.1f} | {row['milliseconds']:.1f} | "
            f"{row['images_per_second']:.0f} |"
        )
    return "\n".join(lines)


def _cvae_samples(description, images):
    dataset, classes = description["dataset"], len(description["class_names"])
    if images:
        raise InputError(
            "Expected images (--images) only with a UNet; a VAE is compared on "
            f"{dataset}. Received: {images}"
        )

    def request(split, count):
        image = to_float(split.images[:count]).numpy()
        return {"image": image, "label": wrong_labels(split.labels[:count], classes, 0)}

    data = load_images(dataset)
    test = request(data.test, TEST_IMAGES)
    return Samples(test, request(data.train, CALIBRATION_IMAGES), "image")


def _unet_samples(description, images, quantize):
    size, names = description["image_size"], tuple(description["class_names"])
    is_pets = names == DATASETS["oxford_iiit_pet"].class_names
    if quantize == "int8" and not (is_pets or images):
        raise InputError(
            "Expected images (--images), a folder of images like those that the model "
            "is for: int8 is calibrated on them."
        )

    def request(pixels):
        return {"image": pixels.astype("float32") / 255}

    if images:
        files = image_files(images)[:TEST_IMAGES]
        if not files:
            raise InputError(f"No images in {images}")
        images = np.stack([resize_image(read_image(file), size) for file in files])
        calibration = request(images[:CALIBRATION_IMAGES])
        return Samples(request(images), calibration, "probabilities")
    data = load_data(UNetConfig(image_size=size))
    return Samples(
        request(data.test.images[:TEST_IMAGES]),
        request(data.train.images[:CALIBRATION_IMAGES]),
        "probabilities",
        data.test.masks[:TEST_IMAGES, ..., 0] if is_pets else None,
    )


def _predict(run, inputs):
    """The outputs of batches, concatenated."""
    batches = [run(request) for request in split_rows(inputs, BATCH_SIZE)]
    return {name: np.concatenate([x[name] for x in batches]) for name in batches[0]}


def _metrics(outputs, expected, samples, class_names):
    name = samples.output
    values = outputs[name] if name in outputs else outputs[f"{name}_out"]
    difference = np.abs(values - expected[name])
    metrics = {
        "images": len(values),
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }
    if samples.masks is not None:
        segmentation = metrics_of(samples.masks, outputs["mask"], class_names)
        metrics["mean_iou"] = segmentation["mean_iou"]
    return metrics


def _speeds(runs, inputs):
    """Medians over rounds, in each of which the runtimes take turns."""
    batch_size = min(BATCH_SIZE, len(inputs["image"]))
    seconds = {(title, count): [] for title in runs for count in (1, batch_size)}
    for _ in range(ROUNDS):
        for (title, count), measured in seconds.items():
            request = {name: x[:count] for name, x in inputs.items()}
            start = time.perf_counter()
            runs[title](request)
            measured.append(time.perf_counter() - start)
    medians = {case: float(np.median(measured)) for case, measured in seconds.items()}
    return {
        title: {
            "milliseconds": 1000 * medians[title, 1],
            "batch_size": batch_size,
            "images_per_second": batch_size / medians[title, batch_size],
        }
        for title in runs
    }


def _size(folder):
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
