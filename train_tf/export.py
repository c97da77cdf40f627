"""SavedModels in the layout of TensorFlow Serving: <name>/<version>/."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from train_tf.errors import InputError
from train_tf.files import atomic_write, read_json, write_json

WARM_UP_REQUESTS = "tf_serving_warmup_requests"  # TensorFlow Serving's file name
TOLERANCE = 1e-5
MODEL_JSON_KEYS = {  # the keys of model.json for each kind of model, beside "kind"
    "UNet": {"image_size", "class_names", "colours"},
    "CVAE": {"dataset", "image_shape", "latents", "class_names"},
}


class Signature(NamedTuple):
    """A signature of a SavedModel.

    function: takes tensors in the order of the specs, and returns a dict of outputs,
        all with the batch as their first axis.
    specs: dict, input name -> `tf.TensorSpec`.
    examples: one array per spec, for comparison and warm-up.
    """

    function: Callable
    specs: dict
    examples: list


def export(folder, signatures, description):
    """Write the next version of a SavedModel, reload it and compare.

    The first row of each signature's examples becomes a warm-up request, which
    TensorFlow Serving replays when it loads the model.

    Args:
        folder: saved_models/<name>; the new version is the highest there plus one.
        signatures: dict, name -> `Signature`.
        description: what a client needs to know; goes to assets.extra/model.json.

    Returns:
        The folder of the new version, and the largest difference between the reloaded
        SavedModel and the model on the examples.

    Raises:
        InputError: if the reloaded SavedModel gives other outputs than the model.
    """
    target = Path(folder) / str(next_version(folder))
    # ExportArchive tracks the variables used by the functions; tracking the model too
    # would save each variable twice.
    archive = keras.export.ExportArchive()
    functions = {name: _compiled(signature) for name, signature in signatures.items()}
    for name, function in functions.items():
        archive.add_endpoint(name, function)
    with atomic_write(target) as partial:
        archive.write_out(str(partial), verbose=False)
        extra = partial / "assets.extra"
        write_json(extra / "model.json", description)
        with tf.io.TFRecordWriter(str(extra / WARM_UP_REQUESTS)) as writer:
            for name, signature in signatures.items():
                writer.write(_request(target.parent.name, name, signature))
        loaded = tf.saved_model.load(str(partial))
        difference = max(
            _difference(loaded.signatures[name], functions[name], signature)
            for name, signature in signatures.items()
        )
        if difference >= TOLERANCE:
            raise InputError(
                f"Expected the SavedModel {target} to give the model's outputs. They "
                f"differ by {difference:.2g}; it was not saved."
            )
    return target, difference


def load(model, kind=None):
    """Load a SavedModel that `export` wrote.

    Args:
        model: saved_models/<name>/<version>, or saved_models/<name> for its highest
            version.
        kind: "UNet" or "CVAE"; None for either.

    Returns:
        The loaded SavedModel, and the content of its model.json.

    Raises:
        InputError: if there is no such SavedModel in that folder.
    """
    folder = highest_version(model)
    try:
        about = read_description(folder)
        if kind and about["kind"] != kind:
            raise ValueError(f"it is a {about['kind']}")
        return tf.saved_model.load(str(folder)), about
    except (OSError, LookupError, ValueError, tf.errors.OpError) as error:
        wanted = (
            f"the SavedModel of a {kind}" if kind else "a SavedModel of this project"
        )
        raise InputError(f"Expected {wanted} in {folder}; {error}") from error


def read_description(folder):
    """The content of a SavedModel's model.json.

    Args:
        folder: saved_models/<name>/<version>.

    Raises:
        OSError: if there is no such file.
        ValueError: if a key is missing.
    """
    about = read_json(folder / "assets.extra" / "model.json")
    kind = about.get("kind")
    if kind not in MODEL_JSON_KEYS:
        raise ValueError(
            f"model.json has kind {kind}, not {' or '.join(MODEL_JSON_KEYS)}"
        )
    if missing := MODEL_JSON_KEYS[kind] - about.keys():
        raise ValueError(f"model.json lacks {', '.join(sorted(missing))}")
    return about


def highest_version(model):
    """The highest version in saved_models/<name>; a version's folder itself.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(model)
    if not folder.is_dir():
        raise InputError(f"Expected a SavedModel's folder. {folder} does not exist.")
    versions = [path for path in folder.iterdir() if path.name.isdecimal()]
    return max(versions, key=lambda path: int(path.name), default=folder)


def saved_model_of(results, folder):
    """The SavedModel that results.json names, in another folder of SavedModels."""
    name, version = Path(results["saved_model"]).parts[-2:]
    return Path(folder) / name / version


def model_name(model):
    """The NAME of saved_models/NAME or saved_models/NAME/VERSION."""
    folder = Path(model).resolve()
    is_version = (folder / "saved_model.pb").exists()
    return folder.parent.name if is_version else folder.name


def next_version(folder):
    """The highest version in saved_models/<name> plus one; 1 if there is none."""
    versions = (path.name for path in Path(folder).glob("*") if path.is_dir())
    return max((int(name) for name in versions if name.isdecimal()), default=0) + 1


def max_abs_difference(one, other):
    """The largest absolute difference of two arrays.

    It is infinite if the shapes differ or a number is not finite.
    """
    if one.shape != other.shape or not np.isfinite([one, other]).all():
        return math.inf
    return float(np.abs(one.astype("float64") - other).max(initial=0))


def _compiled(signature):
    """The signature's function, traced, with a check of its inputs' shapes.

    Neither TensorFlow Serving nor TensorFlow's C API checks shapes, and an operation
    that gets too few axes may end the whole process.
    """
    specs = list(signature.specs.values())

    @tf.function(input_signature=specs, autograph=False)
    def compiled(*inputs):
        shapes = [spec.shape for spec in specs]
        return signature.function(*map(tf.ensure_shape, inputs, shapes))

    compiled.get_concrete_function()
    return compiled


def _request(model, signature_name, signature):
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature_name
    for name, example in zip(signature.specs, signature.examples, strict=True):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(example[:1]))
    log = PredictionLog(predict_log=PredictLog(request=request))
    return log.SerializeToString()


def _difference(loaded, function, signature):
    inputs = [tf.constant(example) for example in signature.examples]
    expected = function(*inputs)
    outputs = loaded(**dict(zip(signature.specs, inputs, strict=True)))
    return max(
        max_abs_difference(outputs[name].numpy(), value.numpy())
        for name, value in expected.items()
        if value.dtype.is_floating
    )
