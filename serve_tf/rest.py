"""Used by the tests: parses the JSON body of a TensorFlow Serving REST request.

The REST request format: https://www.tensorflow.org/tfx/serving/api_rest. Rows are
"instances", a list with one element per row; columns are "inputs". The name of the
input may be omitted for a signature with one input. Bytes are {"b64": text in base64}.
"""

import base64
import binascii
import json

import numpy as np

from serve_tf.saved_model_process import RequestRejected


def to_request(body, signatures):
    """Parse the body of a request.

    Args:
        body: JSON text.
        signatures: as `serve_tf.saved_model_process.SavedModelProcess.signatures`.

    Returns:
        The signature's name, and its inputs: dict, name -> array.

    Raises:
        RequestRejected: if the body does not have this format, or does not match the
            signature.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRejected(f"JSON parse error: {error}") from error
    if (
        not isinstance(request, dict)
        or len({"instances", "inputs"} & request.keys()) != 1
    ):
        raise RequestRejected('Expected an object with either "instances" or "inputs".')
    name = request.get("signature_name", "serving_default")
    if not isinstance(name, str) or name not in signatures:
        raise RequestRejected(
            f"Expected a signature of {sorted(signatures)}. Received: {name}"
        )
    tensors = signatures[name]["inputs"]
    columns = _to_columns(request, list(tensors))
    if set(columns) != set(tensors):
        raise RequestRejected(
            f"Expected inputs {sorted(tensors)}. Received: {sorted(columns)}"
        )
    return name, {
        key: _to_array(key, values, tensors[key][0]) for key, values in columns.items()
    }


def _to_columns(request, names):
    """Dict, name -> values, the batch first."""
    if "inputs" in request:
        values = request["inputs"]
        return values if _has_names(values) else {names[0]: values}
    rows = request["instances"]
    if not isinstance(rows, list) or not rows:
        raise RequestRejected('Expected "instances" to be a list that is not empty.')
    if not any(map(_has_names, rows)):
        if len(names) > 1:
            raise RequestRejected(f"Expected each instance to name {sorted(names)}.")
        return {names[0]: rows}
    keys = {frozenset(row) if _has_names(row) else None for row in rows}
    if len(keys) != 1:
        raise RequestRejected("Expected each instance to name the same inputs.")
    return {key: [row[key] for row in rows] for key in rows[0]}


def _has_names(values):
    return isinstance(values, dict) and set(values) != {"b64"}


def _to_array(name, values, dtype):
    if dtype == "bytes":
        return np.array(_to_bytes(name, values), object)
    try:
        array = np.array(values)
    except ValueError as error:  # rows of different lengths
        raise RequestRejected(f"Expected {name} as a full array. {error}") from error
    kinds = {"f": "iuf", "i": "iu", "u": "iu"}[np.dtype(dtype).kind]
    if array.dtype.kind not in kinds:
        raise RequestRejected(
            f"Expected {name} as {dtype}. Received: {_shorten(values)}"
        )
    if array.dtype.kind != "f" and (array.astype(dtype) != array).any():
        raise RequestRejected(
            f"Expected {name} in the range of {dtype}. Received: {values}"
        )
    return array.astype(dtype)


def _to_bytes(name, values):
    if isinstance(values, list):
        return [_to_bytes(name, value) for value in values]
    try:
        if isinstance(values, str):
            return values.encode()
        return base64.b64decode(values["b64"], validate=True)
    except (TypeError, KeyError, binascii.Error) as error:
        raise RequestRejected(
            f'Expected {name} as {{"b64": ...}}. Received: {_shorten(values)}'
        ) from error


def _shorten(values):
    text = json.dumps(values)
    return text if len(text) < 80 else f"{text[:77]}..."
