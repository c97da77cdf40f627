"""TensorFlow Serving's REST form: the JSON of a request as tensors.

The form: https://www.tensorflow.org/tfx/serving/api_rest. Rows come as "instances", a
list with one element per row; columns come as "inputs". A signature with one input may
leave out the input's name. Bytes come as {"b64": text in base64}.
"""

import base64
import binascii
import json

import numpy as np

from serve_tf.server import Refused


def to_request(body, signatures):
    """Parse the body of a request.

    Args:
        body: JSON text.
        signatures: as `serve_tf.server.Server.signatures`.

    Returns:
        The signature's name, and its inputs: name to array.

    Raises:
        Refused: if the body does not have the form, or does not fit the signature.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"JSON parse error: {error}") from error
    if (
        not isinstance(request, dict)
        or len({"instances", "inputs"} & request.keys()) != 1
    ):
        raise Refused('Expected an object with either "instances" or "inputs".')
    name = request.get("signature_name", "serving_default")
    if not isinstance(name, str) or name not in signatures:
        raise Refused(f"Expected a signature of {sorted(signatures)}. Received: {name}")
    tensors = signatures[name]["inputs"]
    columns = _to_columns(request, list(tensors))
    if set(columns) != set(tensors):
        raise Refused(f"Expected inputs {sorted(tensors)}. Received: {sorted(columns)}")
    return name, {
        key: _to_array(key, values, tensors[key][0]) for key, values in columns.items()
    }


def _to_columns(request, names):
    """Name to values, the batch first."""
    if "inputs" in request:
        values = request["inputs"]
        return values if _has_names(values) else {names[0]: values}
    rows = request["instances"]
    if not isinstance(rows, list) or not rows:
        raise Refused('Expected "instances" to be a list that is not empty.')
    if not any(map(_has_names, rows)):
        if len(names) > 1:
            raise Refused(f"Expected each instance to name {sorted(names)}.")
        return {names[0]: rows}
    keys = {frozenset(row) if _has_names(row) else None for row in rows}
    if len(keys) != 1:
        raise Refused("Expected each instance to name the same inputs.")
    return {key: [row[key] for row in rows] for key in rows[0]}


def _has_names(values):
    return isinstance(values, dict) and set(values) != {"b64"}


def _to_array(name, values, dtype):
    if dtype == "bytes":
        return np.array(_to_bytes(name, values), object)
    try:
        array = np.array(values)
    except ValueError as error:  # rows of different lengths
        raise Refused(f"Expected {name} as a full array. {error}") from error
    kinds = {"f": "iuf", "i": "iu", "u": "iu"}[np.dtype(dtype).kind]
    if array.dtype.kind not in kinds:
        raise Refused(f"Expected {name} as {dtype}. Received: {_shorten(values)}")
    if array.dtype.kind != "f" and (array.astype(dtype) != array).any():
        raise Refused(f"Expected {name} in the range of {dtype}. Received: {values}")
    return array.astype(dtype)


def _to_bytes(name, values):
    if isinstance(values, list):
        return [_to_bytes(name, value) for value in values]
    try:
        if isinstance(values, str):
            return values.encode()
        return base64.b64decode(values["b64"], validate=True)
    except (TypeError, KeyError, binascii.Error) as error:
        raise Refused(
            f'Expected {name} as {{"b64": ...}}. Received: {_shorten(values)}'
        ) from error


def _shorten(values):
    text = json.dumps(values)
    return text if len(text) < 80 else f"{text[:77]}..."
