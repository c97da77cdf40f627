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

WARM_UP = "tf_serving_warmup_requests"  # the name that TensorFlow Serving looks for
TOLERANCE = 1e-5
DESCRIBED = {  # what a model of each kind says of itself, beside its kind
    "UNet": {"image_size", "class_names", "colours"},
    "CVAE": {"dataset", "image_shape", "latents", "class_names"},
}


class Signature(NamedTuple):
    """A request that a SavedModel answers.

    function: takes tensors of the specs, in their order, and gives a dict of outputs,
        all with the batch as their first axis.
    specs: a `tf.TensorSpec` for each input, by its documented name.
    examples: an array for each spec, to compare on and to warm up with.
    """

    function: Callable
    specs: dict
    examples: list


def export(folder, signatures, description):
    """Write the next version of a SavedModel, reload it and compare.

    The first row of each signature's examples becomes a request that TensorFlow Serving
    replays before it takes others.

    Args:
        folder: saved_models/<name>; the version becomes the highest there plus one.
        signatures: name to `Signature`.
        description: what a client needs to know; goes to assets.extra/model.json.

    Returns:
        The folder of the new version, and the largest difference between the reloaded
        SavedModel and the model on the examples.

    Raises:
        InputError: if the reloaded SavedModel answers otherwise than the model.
    """
    place = Path(folder) / str(next_version(folder))
    # It tracks the weights that the functions use; told of their model, it would write
    # each a second time.
    archive = keras.export.ExportArchive()
    for name, signature in signatures.items():
        archive.add_endpoint(name, _guarded(signature), list(signature.specs.values()))
    with atomic_write(place) as beside:
        archive.write_out(str(beside), verbose=False)
        extra = beside / "assets.extra"
        write_json(extra / "model.json", description)
        with tf.io.TFRecordWriter(str(extra / WARM_UP)) as writer:
            for name, signature in signatures.items():
                writer.write(_request(place.parent.name, name, signature))
        loaded = tf.saved_model.load(str(beside))
        difference = max(
            _difference(loaded.signatures[name], signature)
            for name, signature in signatures.items()
        )
        if difference >= TOLERANCE:
            raise InputError(
                f"The SavedModel for {place} differs from the model by "
                f"{difference:.2g} on the same pictures; it was not kept."
            )
    return place, difference


def load(model, kind=None):
    """Load a SavedModel that `export` wrote.

    Args:
        model: the folder of one version, saved_models/<name>/<version>, or of a name;
            of a name, the highest version is taken.
        kind: "UNet" or "CVAE", as its description says; None for either.

    Returns:
        The loaded SavedModel, and its description.

    Raises:
        InputError: if there is no such SavedModel in that folder.
    """
    folder = newest_version(model)
    try:
        about = read_description(folder)
        if kind and about["kind"] != kind:
            raise ValueError(f"it is one of a {about['kind']}")
        return tf.saved_model.load(str(folder)), about
    except (OSError, LookupError, ValueError, tf.errors.OpError) as error:
        what = f"the SavedModel of a {kind}" if kind else "a SavedModel of this project"
        raise InputError(f"Expected {what} in {folder}; {error}") from error


def read_description(folder):
    """What `export` was told of a SavedModel of the project.

    Args:
        folder: that of its version.

    Raises:
        OSError: if nothing is said there.
        ValueError: if something is missing.
    """
    about = read_json(folder / "assets.extra" / "model.json")
    kind = about.get("kind")
    if kind not in DESCRIBED:
        raise ValueError(f"model.json is of no {' or '.join(DESCRIBED)}, but: {kind}")
    if missing := DESCRIBED[kind] - about.keys():
        raise ValueError(f"model.json lacks {', '.join(sorted(missing))}")
    return about


def newest_version(model):
    """The folder of a name's highest version, or of the version that it is.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(model)
    if not folder.is_dir():
        raise InputError(f"Expected the folder of a SavedModel. There is no {folder}.")
    versions = [path for path in folder.iterdir() if path.name.isdecimal()]
    return max(versions, key=lambda path: int(path.name), default=folder)


def saved_model_of(results, folder):
    """The SavedModel that a training's results are of, in a folder of SavedModels.

    Later versions of the same name are others.

    Args:
        results: as in results.json.
        folder: where SavedModels are now.
    """
    version = Path(results["saved_model"]).name
    return Path(folder) / results["config"]["name"] / version


def model_name(model):
    """NAME of saved_models/NAME and of saved_models/NAME/VERSION."""
    folder = Path(model).resolve()
    is_version = (folder / "saved_model.pb").exists()
    return folder.parent.name if is_version else folder.name


def next_version(folder):
    """The highest version in saved_models/<name> plus one; 1 if there is none."""
    versions = (path.name for path in Path(folder).glob("*") if path.is_dir())
    return max((int(name) for name in versions if name.isdecimal()), default=0) + 1


def max_abs_difference(one, other):
    """The largest difference of two arrays; infinite where they cannot be compared.

    That is where their shapes differ or a number is not finite.
    """
    if one.shape != other.shape or not np.isfinite([one, other]).all():
        return math.inf
    return float(np.abs(one.astype("float64") - other).max(initial=0))


def _guarded(signature):
    """Its function, which refuses inputs of another shape than it was traced for.

    Neither TensorFlow Serving nor the session looks at shapes, and an operation that
    gets too few axes may end the whole process.
    """
    shapes = [spec.shape for spec in signature.specs.values()]

    def guarded(*inputs):
        return signature.function(*map(tf.ensure_shape, inputs, shapes))

    return guarded


def _request(model, signature_name, signature):
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature_name
    for name, example in zip(signature.specs, signature.examples, strict=True):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(example[:1]))
    log = PredictionLog(predict_log=PredictLog(request=request))
    return log.SerializeToString()


def _difference(loaded, signature):
    given = [tf.constant(example) for example in signature.examples]
    # Compiled, as Keras's predict is: operation by operation the last digits differ.
    expected = tf.function(signature.function)(*given)
    answers = loaded(**dict(zip(signature.specs, given, strict=True)))
    return max(
        max_abs_difference(answers[name].numpy(), value.numpy())
        for name, value in expected.items()
        if value.dtype.is_floating
    )
