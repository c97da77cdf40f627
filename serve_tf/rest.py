"""TensorFlow Serving's REST form: a request's JSON, turned into tensors by its rule.

The rule: https://www.tensorflow.org/tfx/serving/api_rest. Rows come as "instances", a
list with one element for each, columns as "inputs". Where a signature has one input its
name may be left out. Bytes come as {"b64": text in base64}.
"""

import base64
import binascii
import json

import numpy as np

from serve_tf.server import Refused


def to_request(body, signatures):
    """What a body asks for.

    Args:
        body: JSON text.
        signatures: as `serve_tf.server.Server.signatures`.

    Returns:
        The signature's name, and its inputs: name to array.

    Raises:
        Refused: if the rule does not allow the body.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"JSON parse error: {error}") from error
    if not isinstance(asked, dict) or len({"instances", "inputs"} & set(asked)) != 1:
        raise Refused('Expected an object with either "instances" or "inputs".')
    name = asked.get("signature_name", "serving_default")
    if not isinstance(name, str) or name not in signatures:
        raise Refused(f"Expected a signature of {sorted(signatures)}. Received: {name}")
    wanted = signatures[name]["inputs"]
    columns = _columns(asked, wanted)
    if set(columns) != set(wanted):
        raise Refused(f"Expected inputs {sorted(wanted)}. Received: {sorted(columns)}")
    return name, {
        key: _to_array(key, value, wanted[key][0]) for key, value in columns.items()
    }


def _columns(asked, wanted):
    """Name to values, the batch first."""
    named = len(wanted) > 1
    if "inputs" in asked:
        given = asked["inputs"]
        return given if _names_inputs(given) else {next(iter(wanted)): given}
    rows = asked["instances"]
    if not isinstance(rows, list) or not rows:
        raise Refused('Expected "instances" to be a list that is not empty.')
    if not any(map(_names_inputs, rows)):
        if named:
            raise Refused(f"Expected each instance to name {sorted(wanted)}.")
        return {next(iter(wanted)): rows}
    keys = {frozenset(row) if _names_inputs(row) else None for row in rows}
    if len(keys) != 1:
        raise Refused("Expected each instance to name the same inputs.")
    return {key: [row[key] for row in rows] for key in rows[0]}


def _names_inputs(value):
    return isinstance(value, dict) and set(value) != {"b64"}


def _to_array(name, value, dtype):
    if dtype == "bytes":
        return np.array(_to_bytes(name, value), object)
    try:
        array = np.array(value)
    except ValueError as error:  # rows of different lengths
        raise Refused(f"Expected {name} as a full array. {error}") from error
    kinds = {"f": "iuf", "i": "iu", "u": "iu"}[np.dtype(dtype).kind]
    if array.dtype.kind not in kinds:
        raise Refused(f"Expected {name} as {dtype}. Received: {_shortened(value)}")
    if array.dtype.kind != "f" and (array.astype(dtype) != array).any():
        raise Refused(f"Expected {name} in the range of {dtype}. Received: {value}")
    return array.astype(dtype)


def _to_bytes(name, value):
    if isinstance(value, list):
        return [_to_bytes(name, element) for element in value]
    try:
        if isinstance(value, str):
            return value.encode()
        return base64.b64decode(value["b64"], validate=True)
    except (TypeError, KeyError, binascii.Error) as error:
        raise Refused(
            f'Expected {name} as {{"b64": ...}}. Received: {_shortened(value)}'
        ) from error


def _shortened(value):
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."
