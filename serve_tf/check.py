"""Check a SavedModel with the C++ loader that TensorFlow Serving uses.

Requests are made from the SavedModel's own warm-up requests, which hold real images.
"""

import io
import itertools
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serve_tf.saved_model_process import RequestRejected, SavedModelProcess
from train_tf.data.decode_image import MAX_PIXELS
from train_tf.errors import InputError
from train_tf.export import (
    TOLERANCE,
    WARM_UP_REQUESTS,
    max_abs_difference,
    read_description,
)

BATCH_SIZE = 7
CONCURRENT_REQUESTS = 1000
MEMORY_REQUESTS = 5000  # after which memory is measured again
MEMORY_GROWTH = 16 * 2**20  # bytes allowed; allocators keep some


class CheckFailed(Exception):
    """A SavedModel does not behave as documented."""


def check_saved_model(folder, stress_test=False):
    """Check one version of a SavedModel.

    Args:
        folder: saved_models/<name>/<version>.
        stress_test: also send thousands of requests, which takes minutes.

    Yields:
        For each check: whether it passed, and a message.

    Raises:
        InputError: if the SavedModel cannot be loaded.
    """
    folder = Path(folder)
    description, warm_up = _read_extras(folder)
    with SavedModelProcess(folder) as process:
        checks = [
            lambda: check_signatures(process.signatures, description, warm_up),
            lambda: check_outputs(process, folder, warm_up),
            lambda: check_batches(process, description, warm_up),
            lambda: check_invalid_rows(process, description, warm_up),
        ]
        if stress_test:
            checks.append(lambda: check_stress(process, description, warm_up))
        for check in checks:
            try:
                yield True, check()
            except (CheckFailed, RequestRejected) as error:
                yield False, f"{error}"


def expected_signatures(description):
    """The documented signatures of a SavedModel.

    Args:
        description: the content of its model.json.

    Returns:
        As `SavedModelProcess.signatures`.
    """
    classes = len(description["class_names"])
    label = {"label": ("int32", (None,))}
    if description["kind"] == "CVAE":
        image = {"image": ("float32", (None, *description["image_shape"]))}
        latent = ("float32", (None, description["latents"]))
        moments = {"latent_mean": latent, "latent_log_var": latent}
        seed = {"seed": ("int32", (None,))}
        return {
            "serving_default": {"inputs": image | label, "outputs": image},
            "encode": {"inputs": image | label, "outputs": moments},
            "decode": {"inputs": {"latent": latent} | label, "outputs": image},
            "generate": {"inputs": label | seed, "outputs": image},
        }
    size = description["image_size"]
    any_size, network_size = (None, None, None), (None, size, size)
    return {
        "serving_default": {
            "inputs": {"image": ("float32", (*any_size, 3))},
            "outputs": {
                "probabilities": ("float32", (*any_size, classes)),
                "mask": ("uint8", any_size),
            },
        },
        "encoded": {
            "inputs": {"image_bytes": ("bytes", (None,))},
            "outputs": {
                "probabilities": ("float32", (*network_size, classes)),
                "mask": ("uint8", network_size),
                "original_size": ("int32", (None, 2)),
            },
        },
    }


def check_signatures(signatures, description, warm_up):
    """The signatures are the documented ones, and each has a warm-up request."""
    expected = expected_signatures(description)
    for name, tensors in expected.items():
        if signatures.get(name) != tensors:
            raise CheckFailed(
                f"Expected {name}: {tensors}. Found: {signatures.get(name)}"
            )
        if name not in warm_up:
            raise CheckFailed(f"Expected a warm-up request for {name}. Found none.")
    if undocumented := signatures.keys() - expected.keys():
        raise CheckFailed(f"Undocumented signatures: {sorted(undocumented)}")
    return f"signatures {', '.join(sorted(signatures))}, with warm-up requests"


def check_outputs(process, folder, warm_up):
    """The outputs are the same as in the TensorFlow Python package."""
    loaded, largest = tf.saved_model.load(str(folder)), 0.0
    for name, inputs in warm_up.items():
        tensors = {key: tf.constant(values) for key, values in inputs.items()}
        expected = loaded.signatures[name](**tensors)
        expected = {key: tensor.numpy() for key, tensor in expected.items()}
        outputs = process.predict(name, inputs)
        largest = max(largest, _difference(outputs, expected))
    if largest > TOLERANCE:
        raise CheckFailed(
            f"Outputs differ from the TensorFlow Python package by {largest:.2g}"
        )
    return f"outputs as in the TensorFlow Python package, within {largest:.1g}"


def check_batches(process, description, warm_up):
    """The outputs of a row do not depend on the other rows of its batch."""
    largest = 0.0
    for name, inputs in warm_up.items():
        batch = distinct_rows(inputs, description)
        together = process.predict(name, batch)
        for row, request in enumerate(split_rows(batch)):
            alone = process.predict(name, request)
            expected = {key: together[key][row : row + 1] for key in alone}
            largest = max(largest, _difference(alone, expected))
    if largest > TOLERANCE:
        raise CheckFailed(
            f"Rows alone and in a batch of {BATCH_SIZE} differ by {largest:.2g}"
        )
    return f"{BATCH_SIZE} rows alone and in one batch, within {largest:.1g}"


def distinct_rows(inputs, description):
    """A batch of `BATCH_SIZE` different rows, made from the first row of a request.

    Images and latents are scaled by 1 to 0.4; labels and seeds are counted up.

    Args:
        inputs: dict, name -> array.
        description: the content of model.json.

    Returns:
        Dict, name -> array of the same dtype.
    """
    scales = np.linspace(1, 0.4, BATCH_SIZE, dtype="float32")
    batch = {}
    for name, values in inputs.items():
        first = values[0]
        if values.dtype == object:
            image = tf.io.decode_image(first).numpy()
            images = ((image * scale).astype("uint8") for scale in scales)
            files = [tf.io.encode_png(image).numpy() for image in images]
            batch[name] = np.array(files, object)
        elif values.dtype.kind == "f":
            batch[name] = np.stack([first * scale for scale in scales])
        else:
            limit = len(description["class_names"]) if name == "label" else 2**31
            numbers = (int(first) + np.arange(BATCH_SIZE)) % limit
            batch[name] = numbers.astype("int32")
    return batch


def check_invalid_rows(process, description, warm_up):
    """A request with an invalid row is rejected with a message; other requests are not.

    Each is sent together with a valid request, whose outputs must not change.
    """
    count = 0
    for name, inputs in warm_up.items():
        valid = {key: values[:1] for key, values in inputs.items()}
        expected = process.predict(name, valid)
        for key, values in valid.items():
            for row, message in _invalid_rows(key, values, description):
                invalid = {k: np.concatenate([x, x]) for k, x in valid.items()}
                invalid[key] = np.concatenate([values, row])
                rejection, outputs = process.predict_concurrently(
                    [(name, invalid), (name, valid)]
                )
                is_rejected = isinstance(rejection, RequestRejected)
                if not is_rejected or message not in str(rejection):
                    raise CheckFailed(
                        f"Expected {message!r} from {name}. Received: {rejection}"
                    )
                if _differ(outputs, expected):
                    raise CheckFailed(
                        f"An invalid {key} changed another request to {name}."
                    )
                count += 1
    return f"{count} requests with an invalid row rejected, other requests unchanged"


def check_stress(process, description, warm_up):
    """Concurrent requests give the outputs of single ones; memory does not grow."""
    requests = [
        (name, request)
        for name, inputs in warm_up.items()
        for request in split_rows(distinct_rows(inputs, description))
    ]
    expected = [process.predict(*request) for request in requests]
    cases = itertools.cycle(zip(requests, expected, strict=True))

    def send(count):
        batch = list(itertools.islice(cases, count))
        responses = process.predict_concurrently(request for request, _ in batch)
        for ((name, _), outputs), response in zip(batch, responses, strict=True):
            if _differ(response, outputs):
                raise CheckFailed(f"{name} differs among {count} concurrent requests.")

    send(CONCURRENT_REQUESTS)
    step = 100  # requests, few enough that their outputs do not fill the memory
    send(step)
    memory = psutil.Process(process.pid).memory_info
    before = memory().rss
    for _ in range(MEMORY_REQUESTS // step):
        send(step)
    growth = memory().rss - before
    if growth > MEMORY_GROWTH:
        raise CheckFailed(
            f"Memory grew by {growth / 2**20:.0f} MiB in {MEMORY_REQUESTS:,} requests."
        )
    return (
        f"{CONCURRENT_REQUESTS:,} concurrent requests; after {MEMORY_REQUESTS:,} more "
        f"memory is {growth / 2**20:+.1f} MiB"
    )


def _read_extras(folder):
    """Description and warm-up requests (dict, name -> inputs) of assets.extra."""
    warm_up = {}
    try:
        description = read_description(folder)
        records = tf.data.TFRecordDataset(
            str(folder / "assets.extra" / WARM_UP_REQUESTS)
        )
        for record in records:
            request = PredictionLog.FromString(record.numpy()).predict_log.request
            warm_up[request.model_spec.signature_name] = {
                name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()
            }
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"Expected a SavedModel of this project in {folder}; {error}"
        ) from error
    return description, warm_up


def split_rows(request, size=1):
    """Requests of `size` rows each; the last may have fewer."""
    rows = range(0, len(next(iter(request.values()))), size)
    return [{name: x[row : row + size] for name, x in request.items()} for row in rows]


def _difference(outputs, expected):
    """The largest difference of any output, by `max_abs_difference`."""
    return max(
        max_abs_difference(outputs[name], values) for name, values in expected.items()
    )


def _differ(response, expected):
    is_rejected = isinstance(response, RequestRejected)
    return is_rejected or _difference(response, expected) > TOLERANCE


def _invalid_rows(name, values, description):
    """Invalid rows of an input, each with a part of the expected message."""
    if name == "label":
        highest = len(description["class_names"]) - 1
        for label in (-1, highest + 1, 2**31 - 1):
            yield np.array([label], "int32"), f"Expected labels from 0 to {highest}"
    if values.dtype == np.float32:
        for number in (np.nan, np.inf):
            yield np.full_like(values, number), f"Expected {name} from"
    if name == "image":
        yield values + 1, "Expected image from 0 to 1"
        yield values - 1, "Expected image from 0 to 1"
    if name == "image_bytes":
        too_large = io.BytesIO()
        Image.new("L", (7100, 7100)).save(too_large, "png")
        no_image = "Expected the bytes of a JPEG, PNG or BMP file"
        for file, message in (
            (b"", no_image),
            (b"no image", no_image),
            (values[0][: len(values[0]) // 2], "PNG"),
            (too_large.getvalue(), f"of 1 to {MAX_PIXELS:,} pixels"),
        ):
            yield np.array([file], object), message
