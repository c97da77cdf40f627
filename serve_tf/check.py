"""Whether a SavedModel keeps its promises, seen by the loader of TensorFlow Serving.

What is asked comes from the SavedModel itself: its warm-up requests hold real pictures.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serve_tf.rest import to_request
from serve_tf.server import Refused, Server
from train_tf.data.image_ops import MAX_PIXELS
from train_tf.errors import InputError
from train_tf.export import TOLERANCE, WARM_UP, max_abs_difference, read_description

BATCH = 7
AT_ONCE = 1000  # requests from many threads
AFTER = 5000  # requests, after which memory is measured
GROWTH = 16 * 2**20  # bytes that it may have grown by: what allocators keep


class Broken(Exception):
    """A promise that is not kept."""


def check_saved_model(folder, load=False):
    """Check one version of a SavedModel.

    Args:
        folder: saved_models/<name>/<version>.
        load: whether to send thousands of requests too, which takes minutes.

    Yields:
        For each check: whether the promise is kept, and what was seen.

    Raises:
        InputError: if it cannot be loaded.
    """
    folder = Path(folder)
    about, warm_up = _read_extras(folder)
    with Server(folder) as server:
        checks = [
            lambda: check_signatures(server.signatures, about, warm_up),
            lambda: check_answers(server, folder, warm_up),
            lambda: check_rows(server, about, warm_up),
            lambda: check_refusals(server, about, warm_up),
            lambda: check_rest(server, warm_up),
            *([lambda: check_load(server, about, warm_up)] if load else []),
        ]
        for check in checks:
            try:
                yield True, check()
            except (Broken, Refused) as error:
                yield False, f"{error}"


def promised(about):
    """The signatures that a SavedModel of this description has.

    Args:
        about: the content of its model.json.

    Returns:
        Name to {"inputs": tensors, "outputs": tensors}, the tensors name to (dtype,
        shape).
    """
    classes = len(about["class_names"])
    label = {"label": ("int32", (None,))}
    if about["kind"] == "CVAE":
        image = {"image": ("float32", (None, *about["image_shape"]))}
        latent = ("float32", (None, about["latents"]))
        moments = {"latent_mean": latent, "latent_log_var": latent}
        seed = {"seed": ("int32", (None,))}
        return {
            "serving_default": {"inputs": image | label, "outputs": image},
            "encode": {"inputs": image | label, "outputs": moments},
            "decode": {"inputs": {"latent": latent} | label, "outputs": image},
            "generate": {"inputs": label | seed, "outputs": image},
        }
    size = about["image_size"]
    any_size, own = (None, None, None), (None, size, size)
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
                "probabilities": ("float32", (*own, classes)),
                "mask": ("uint8", own),
                "original_size": ("int32", (None, 2)),
            },
        },
    }


def check_signatures(signatures, about, warm_up):
    """They are the promised ones, and each is warmed up."""
    for name, sides in promised(about).items():
        if signatures.get(name) != sides:
            raise Broken(f"Expected {name}: {sides}. Found: {signatures.get(name)}")
        if name not in warm_up:
            raise Broken(f"{name} is not warmed up.")
    if more := set(signatures) - set(promised(about)):
        raise Broken(f"Signatures that are in no document: {sorted(more)}")
    return f"signatures {', '.join(sorted(signatures))}, with warm-up requests"


def check_answers(server, folder, warm_up):
    """They are those that TensorFlow's Python gives."""
    loaded, largest = tf.saved_model.load(str(folder)), 0.0
    for name, inputs in warm_up.items():
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        expected = loaded.signatures[name](**tensors)
        answers = server.ask(name, inputs)
        for key, value in expected.items():
            largest = max(largest, max_abs_difference(answers[key], value.numpy()))
    if largest > TOLERANCE:
        raise Broken(
            f"Answers differ from those of TensorFlow's Python by {largest:.2g}"
        )
    return f"answers as TensorFlow's Python gives them, within {largest:.1g}"


def check_rows(server, about, warm_up):
    """A row's answer does not depend on the rows beside it."""
    largest = 0.0
    for name, inputs in warm_up.items():
        rows = different_rows(inputs, about)
        together = server.ask(name, {k: np.concatenate(x) for k, x in rows.items()})
        for row in range(BATCH):
            alone = server.ask(name, {key: x[row] for key, x in rows.items()})
            for key, value in alone.items():
                largest = max(
                    largest, max_abs_difference(together[key][row : row + 1], value)
                )
    if largest > TOLERANCE:
        raise Broken(f"Rows alone and in a batch of {BATCH} differ by {largest:.2g}")
    return f"{BATCH} rows alone and in one batch, within {largest:.1g}"


def different_rows(inputs, about):
    """Rows that have nothing in common, of the first one of a warm-up request.

    Pictures and latents get weaker from row to row; labels and seeds follow each other.

    Args:
        inputs: name to array.
        about: the content of model.json.

    Returns:
        Name to a list of `BATCH` arrays of one row each.
    """
    shares, steps = np.linspace(1, 0.4, BATCH, dtype="float32"), np.arange(BATCH)
    rows = {}
    for name, values in inputs.items():
        first = values[:1]
        if first.dtype == object:
            picture = tf.io.decode_image(first[0]).numpy()
            weaker = ((picture * share).astype("uint8") for share in shares)
            files = (tf.io.encode_png(picture).numpy() for picture in weaker)
            rows[name] = [np.array([file], object) for file in files]
        elif first.dtype.kind == "f":
            rows[name] = [first * share for share in shares]
        else:
            most = len(about["class_names"]) if name == "label" else 2**31
            rows[name] = [((first + step) % most).astype("int32") for step in steps]
    return rows


def check_refusals(server, about, warm_up):
    """One broken row refuses its own request, with a message, and no other."""
    count = 0
    for name, inputs in warm_up.items():
        first = {key: values[:1] for key, values in inputs.items()}
        before = server.ask(name, first)
        for key, values in first.items():
            for broken, said in _broken_rows(key, values, about):
                rows = first | {key: broken}
                rows = {k: np.concatenate([first[k], rows[k]]) for k in first}
                refusal, answers = server.ask_at_once([(name, rows), (name, first)])
                if not isinstance(refusal, Refused) or said not in str(refusal):
                    raise Broken(f"Expected {said!r} of {name}. Received: {refusal}")
                if isinstance(answers, Refused) or any(
                    max_abs_difference(answers[k], before[k]) > TOLERANCE
                    for k in before
                ):
                    raise Broken(f"A broken {key} changed another request of {name}.")
                count += 1
    return f"{count} requests with a broken row refused, and no other harmed"


def check_rest(server, warm_up):
    """All forms of a REST request are answered, and one without rows is refused."""
    taken = 0
    for name, inputs in warm_up.items():
        first = {key: values[:1] for key, values in inputs.items()}
        expected = server.ask(name, first)
        columns = {key: _to_json(values) for key, values in first.items()}
        for body in _bodies(columns):
            body = {"signature_name": name} | body
            if name == "serving_default":
                del body["signature_name"]
            asked, given = to_request(json.dumps(body), server.signatures)
            answers = server.ask(asked, given)
            if (
                max(max_abs_difference(answers[key], expected[key]) for key in expected)
                > TOLERANCE
            ):
                raise Broken(f"{name} answers REST otherwise: {str(body)[:200]}")
            taken += 1
        flat = {key: value[0] for key, value in columns.items()}
        body = {"signature_name": name, "inputs": flat}
        try:
            server.ask(*to_request(json.dumps(body), server.signatures))
        except Refused:
            continue
        raise Broken(f"{name} took a REST request without a batch axis.")
    return f"{taken} REST requests answered, and none without a batch axis"


def check_load(server, about, warm_up):
    """Threads do not disturb each other, and memory does not grow."""
    requests = []
    for name, inputs in warm_up.items():
        rows = different_rows(inputs, about)
        requests += [
            (name, {k: x[row] for k, x in rows.items()}) for row in range(BATCH)
        ]
    expected = [server.ask(*request) for request in requests]
    memory = psutil.Process(server.pid).memory_info

    def send(count):
        numbers = [number % len(requests) for number in range(count)]
        answers = server.ask_at_once(requests[number] for number in numbers)
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, Refused) or any(
                max_abs_difference(answer[key], value) > TOLERANCE
                for key, value in expected[number].items()
            ):
                name, _ = requests[number]
                raise Broken(f"{name} answers otherwise among {count} at once.")

    send(AT_ONCE)
    few = 100  # at a time, whose answers do not fill the memory that is measured
    send(few)
    before = memory().rss
    for _ in range(AFTER // few):
        send(few)
    grown = memory().rss - before
    if grown > GROWTH:
        raise Broken(f"Memory grew by {grown / 2**20:.0f} MiB in {AFTER:,} requests.")
    return (
        f"{AT_ONCE:,} requests at once from 16 threads all right; after {AFTER:,} more "
        f"memory is {grown / 2**20:+.1f} MiB"
    )


def _read_extras(folder):
    """A SavedModel's description, and its warm-up requests, name to inputs."""
    extra, warm_up = folder / "assets.extra", {}
    try:
        about = read_description(folder)
        for record in tf.data.TFRecordDataset(str(extra / WARM_UP)):
            request = PredictionLog.FromString(record.numpy()).predict_log.request
            warm_up[request.model_spec.signature_name] = {
                name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()
            }
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"Expected a SavedModel of this project in {folder}; {error}"
        ) from error
    return about, warm_up


def _broken_rows(name, values, about):
    """Broken values of an input, and what the refusal says."""
    if name == "label":
        highest = len(about["class_names"]) - 1
        for label in (-1, highest + 1, 2**31 - 1):
            yield np.array([label], "int32"), f"Expected labels from 0 to {highest}"
    if values.dtype == np.float32:
        for number in (np.nan, np.inf):
            yield np.full_like(values, number), f"Expected {name} from"
    if name == "image":
        yield values + 1, "Expected image from 0 to 1"
        yield values - 1, "Expected image from 0 to 1"
    if name == "image_bytes":
        whole = values[0]
        bomb = io.BytesIO()
        Image.new("L", (7100, 7100)).save(bomb, "png")
        too_big = f"Expected a picture of 1 to {MAX_PIXELS:,} pixels"
        for file, said in (
            (b"", "Expected the bytes of a JPEG, PNG or BMP file"),
            (b"no picture", "Expected the bytes of a JPEG, PNG or BMP file"),
            (whole[: len(whole) // 2], "PNG"),
            (bomb.getvalue(), too_big),
        ):
            yield np.array([file], object), said


def _bodies(columns):
    """The forms that a request may have."""
    rows = zip(*columns.values(), strict=True)
    rows = [dict(zip(columns, row, strict=True)) for row in rows]
    yield {"inputs": columns}
    yield {"instances": rows}
    if len(columns) == 1:
        (values,) = columns.values()
        yield {"inputs": values}
        yield {"instances": values}


def _to_json(values):
    if values.dtype == object:
        return [{"b64": base64.b64encode(value).decode()} for value in values]
    return values.tolist()
