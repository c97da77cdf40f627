"""Exports for other runtimes, reloaded there and compared on real pictures."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_tf.data import load_images, scaled, wrong_labels
from serve_tf.runtimes import export_to, load_from
from train_tf.data.images import image_files, read_image
from train_tf.errors import InputError
from train_tf.export import load, newest_version
from unet_tf.config import UNetConfig
from unet_tf.data import PET_CLASSES, load_data, resize_photo
from unet_tf.report import metrics_of

CALIBRATED_ON = 64  # pictures
COMPARED_ON = 500  # pictures, at the most
BATCH = 32
ROUNDS = 15  # in which each runtime is timed in turn


class Pictures(NamedTuple):
    """What runtimes are compared on.

    request: of test pictures, name to array.
    calibration: as many requests of one training picture as int8 is calibrated on.
    output: the name of what is compared.
    truth: masks of the test pictures; None if the model has other classes.
    """

    request: dict
    calibration: list
    output: str
    truth: np.ndarray | None


def export_and_compare(model, formats, quantize, out, images=None):
    """Export a SavedModel for runtimes, reload it there and compare.

    Args:
        model: saved_models/<name> or <name>/<version>.
        formats: names of `serve_tf.runtimes.RUNTIMES`.
        quantize: "none" or "int8".
        out: the folder to write to; each format gets a folder in it.
        images: folder of the photographs that a UNet is calibrated and compared on;
            None for the pets, or for a VAE, its own set.

    Returns:
        A row for the SavedModel and one for each format, title to dict; "refused"
        instead of figures where a runtime cannot take the model.

    Raises:
        InputError: if there is no such model, there are exports already, or photographs
            are needed and are not given, or are given to a VAE.
    """
    folder, out = newest_version(model), Path(out)
    _, about = load(folder)
    ending = "" if quantize == "none" else f" {quantize}"
    titles = {name: name + ending for name in formats}
    places = {name: out / title.replace(" ", "_") for name, title in titles.items()}
    if there := [str(place) for place in places.values() if place.exists()]:
        raise InputError(
            f"{', '.join(there)}: there already. Remove it, or choose another --out."
        )
    of_pets = tuple(about["class_names"]) == PET_CLASSES
    if images and about["kind"] == "CVAE":
        raise InputError(
            "Expected --images only with a UNet; a VAE is compared on "
            f"{about['dataset']}. Received: --images {images}"
        )
    if quantize == "int8" and about["kind"] == "UNet" and not (of_pets or images):
        raise InputError(
            "Expected --images, a folder of photographs like those that the model is "
            "for: int8 is fitted to the numbers that they give inside it."
        )
    pictures = _pictures(about, images, of_pets)
    calibration = pictures.calibration if quantize == "int8" else None
    rows = {"SavedModel": {"bytes": _bytes(folder)}}
    runs = {"SavedModel": load_from("saved_model", folder)}
    for name, title in titles.items():
        place = places[name]
        try:
            file = export_to(name, folder, place, calibration)
            runs[title], rows[title] = load_from(name, file), {"bytes": _bytes(place)}
        except InputError as error:
            rows[title] = {"refused": str(error)}
    expected = _in_batches(runs["SavedModel"], pictures.request)
    for title, run in runs.items():
        answers = _in_batches(run, pictures.request)
        rows[title] |= _figures(answers, expected, pictures, about)
    for title, seconds in _times(runs, pictures.request).items():
        rows[title] |= seconds
    return rows


def as_table(rows):
    """Rows of `export_and_compare` as text, in Markdown."""
    own = rows["SavedModel"]
    head = (
        f"| runtime | largest difference, {own['pictures']} pictures | mean | "
        "mean IoU | MiB | ms, 1 picture | "
        f"pictures/s, {own['pictures_at_once']} at once |"
    )
    lines = [head, "|---|---|---|---|---|---|---|"]
    for title, row in rows.items():
        if "refused" in row:
            lines.append(f"| {title} | {row['refused']} | | | | | |")
            continue
        iou = f"{row['mean_iou']:.4f}" if "mean_iou" in row else ""
        lines.append(
            f"| {title} | {row['largest_difference']:.1g} | "
            f"{row['mean_difference']:.1g} | {iou} | "
            f"{row['bytes'] / 2**20:.1f} | {row['milliseconds']:.1f} | "
            f"{row['pictures_per_second']:.0f} |"
        )
    return "\n".join(lines)


def _pictures(about, images, of_pets):
    if about["kind"] == "CVAE":
        own = load_images(about["dataset"])
        classes = len(about["class_names"])

        def requests(part, count):
            image = scaled(part.images[:count]).numpy()
            label = wrong_labels(part.labels[:count], classes, seed=0)
            return {"image": image, "label": label}

        test, training = requests(own.test, COMPARED_ON), own.train
        return Pictures(
            test, _one_by_one(requests(training, CALIBRATED_ON)), "image", None
        )
    size = about["image_size"]
    if images:
        photos = np.stack([resize_photo(x, size) for x in _read(images)])
        test, training, truth = photos, photos, None
    else:
        photographs = load_data(UNetConfig(image_size=size))
        test, training = photographs.test.photos, photographs.train.photos
        masks = photographs.test.masks[:COMPARED_ON, ..., 0]
        truth = masks if of_pets else None
    test, some = (
        {"image": photos.astype("float32") / 255}
        for photos in (test[:COMPARED_ON], training[:CALIBRATED_ON])
    )
    return Pictures(test, _one_by_one(some), "probabilities", truth)


def _read(folder):
    """The photographs of a folder, as many as a comparison takes."""
    files = image_files(folder)[:COMPARED_ON]
    if not files:
        raise InputError(f"No pictures in {folder}")
    return map(read_image, files)


def _one_by_one(request):
    count = len(next(iter(request.values())))
    return [{k: x[row : row + 1] for k, x in request.items()} for row in range(count)]


def _in_batches(run, request):
    count = len(next(iter(request.values())))
    parts = [
        run({name: x[start : start + BATCH] for name, x in request.items()})
        for start in range(0, count, BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figures(answers, expected, pictures, about):
    of_runtime = answers.get(pictures.output, answers.get(f"{pictures.output}_out"))
    apart = np.abs(of_runtime - expected[pictures.output])
    figures = {
        "pictures": len(of_runtime),
        "largest_difference": float(apart.max()),
        "mean_difference": float(apart.mean()),
    }
    if pictures.truth is not None:
        names = about["class_names"]
        of_masks = metrics_of(pictures.truth, answers["mask"], names)
        figures["mean_iou"] = of_masks["mean_iou"]
    return figures


def _times(runs, request):
    """Medians of rounds in which each runtime has its turn."""
    many = min(BATCH, len(next(iter(request.values()))))
    sizes = {count: {k: x[:count] for k, x in request.items()} for count in (1, many)}
    seconds = {title: {count: [] for count in sizes} for title in runs}
    for _ in range(ROUNDS):
        for title, run in runs.items():
            for count, part in sizes.items():
                start = time.perf_counter()
                run(part)
                seconds[title][count].append(time.perf_counter() - start)
    medians = {
        title: {count: float(np.median(x)) for count, x in of_sizes.items()}
        for title, of_sizes in seconds.items()
    }
    return {
        title: {
            "milliseconds": 1000 * of_sizes[1],
            "pictures_at_once": many,
            "pictures_per_second": many / of_sizes[many],
        }
        for title, of_sizes in medians.items()
    }


def _bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
