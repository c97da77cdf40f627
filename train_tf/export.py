"""SavedModels in the layout of TensorFlow Serving: <name>/<version>/."""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from train_tf.errors import InputError
from train_tf.files import write_json, written_beside


def export(folder, signatures, description):
    """Write the next version of a SavedModel, reload it and compare.

    Args:
        folder: saved_models/<name>; the version becomes the highest there plus one.
        signatures: name to (model, function, specs, examples). The function takes
            tensors of the specs, a dict of `tf.TensorSpec`s with the documented names,
            and gives a dict of outputs; examples are arrays to compare on.
        description: what a client needs to know; goes to assets.extra/model.json.

    Returns:
        The folder of the new version, and the largest difference between the reloaded
        SavedModel and the model on the examples.

    Raises:
        InputError: if the reloaded SavedModel answers otherwise than the model.
    """
    place = Path(folder) / str(next_version(folder))
    archive = keras.export.ExportArchive()
    for name, (model, function, specs, _) in signatures.items():
        archive.track(model)
        archive.add_endpoint(name, function, list(specs.values()))
    with written_beside(place) as beside:
        archive.write_out(str(beside), verbose=False)
        write_json(beside / "assets.extra" / "model.json", description)
        loaded = tf.saved_model.load(str(beside))
        difference = max(
            _difference(loaded.signatures[name], function, specs, examples)
            for name, (_, function, specs, examples) in signatures.items()
        )
        if not difference < 1e-4:
            raise InputError(
                f"The SavedModel for {place} differs from the model by "
                f"{difference:.2g} on the same pictures; it was not kept."
            )
    return place, difference


def load(model, kind):
    """Load a SavedModel that `export` wrote.

    Args:
        model: the folder of one version, saved_models/<name>/<version>, or of a name;
            of a name, the highest version is taken.
        kind: "UNet" or "CVAE", as its description says.

    Returns:
        The loaded SavedModel, and its description.

    Raises:
        InputError: if there is no such SavedModel in that folder.
    """
    folder = Path(model)
    if not folder.is_dir():
        raise InputError(f"Expected the folder of a SavedModel. There is no {folder}.")
    versions = [path for path in folder.iterdir() if path.name.isdecimal()]
    folder = max(versions, key=lambda path: int(path.name), default=folder)
    try:
        about = json.loads((folder / "assets.extra" / "model.json").read_text())
        if about["kind"] != kind:
            raise ValueError(f"it is one of a {about['kind']}")
        return tf.saved_model.load(str(folder)), about
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"Expected the SavedModel of a {kind} in {folder}; {error}"
        ) from error


def next_version(folder):
    """The highest version in saved_models/<name> plus one; 1 if there is none."""
    versions = (path.name for path in Path(folder).glob("*") if path.is_dir())
    return max((int(name) for name in versions if name.isdecimal()), default=0) + 1


def _difference(signature, function, specs, examples):
    expected = function(*(tf.constant(example) for example in examples))
    given = dict(zip(specs, map(tf.constant, examples), strict=True))
    answers = signature(**given)
    return max(
        float(np.abs(answers[name].numpy() - value.numpy()).max())
        for name, value in expected.items()
        if value.dtype.is_floating
    )
