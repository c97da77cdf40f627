"""REST request bodies are parsed as TensorFlow Serving documents it."""

import base64
import json

import numpy as np
import pytest

from serve_tf.rest import to_request
from serve_tf.saved_model_process import RequestRejected

SIGNATURES = {
    "serving_default": {"inputs": {"image": ("float32", (None, 2))}},
    "encoded": {"inputs": {"image_bytes": ("bytes", (None,))}},
    "relabel": {
        "inputs": {"image": ("float32", (None, 2)), "label": ("int32", (None,))}
    },
}
PNG = base64.b64encode(b"\x89PNG").decode()


def request(**body):
    return to_request(json.dumps(body), SIGNATURES)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[0, 1], [2, 3.5]]},
        {"instances": [{"image": [0, 1]}, {"image": [2, 3.5]}]},
        {"inputs": [[0, 1], [2, 3.5]]},
        {"inputs": {"image": [[0, 1], [2, 3.5]]}},
        {"signature_name": "serving_default", "instances": [[0, 1], [2, 3.5]]},
    ],
)
def test_rows_and_columns_are_equivalent(body):
    name, inputs = request(**body)
    assert (name, list(inputs)) == ("serving_default", ["image"])
    assert inputs["image"].dtype == np.float32
    assert inputs["image"].tolist() == [[0, 1], [2, 3.5]]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"image": [0, 1], "label": 3}, {"image": [2, 3], "label": 4}]},
        {"inputs": {"image": [[0, 1], [2, 3]], "label": [3, 4]}},
    ],
)
def test_inputs_are_found_by_name(body):
    name, inputs = request(signature_name="relabel", **body)
    assert (inputs["label"].dtype, inputs["label"].tolist()) == (np.int32, [3, 4])
    assert inputs["image"].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"b64": PNG}]},
        {"instances": [{"image_bytes": {"b64": PNG}}]},
        {"inputs": [{"b64": PNG}]},
        {"inputs": {"image_bytes": [{"b64": PNG}]}},
    ],
)
def test_bytes_come_in_base64(body):
    _, inputs = request(signature_name="encoded", **body)
    assert inputs["image_bytes"].tolist() == [b"\x89PNG"]


@pytest.mark.parametrize(
    ("message", "name", "body"),
    [
        ("either", "relabel", {}),
        ("either", "relabel", {"inputs": {}, "instances": []}),
        ("not empty", "relabel", {"instances": []}),
        ("not empty", "relabel", {"instances": {"image": [0, 1]}}),
        ("signature of", "none", {"inputs": []}),
        ("each instance to name", "relabel", {"instances": [[0, 1]]}),
        ("the same", "relabel", {"instances": [{"image": [0]}, {"label": 1}]}),
        ("Received: .'image'", "relabel", {"inputs": {"image": [[0, 1]]}}),
        ("Received: .'pixels'", "serving_default", {"inputs": {"pixels": [[0, 1]]}}),
        ("image as float32", "serving_default", {"inputs": [["a", "b"]]}),
        ("full array", "serving_default", {"inputs": [[0, 1], [2]]}),
        (
            "label as int32",
            "relabel",
            {"instances": [{"image": [0, 1], "label": 1.5}]},
        ),
        ("b64", "encoded", {"inputs": [{"b64": "not base64"}]}),
        ("b64", "encoded", {"inputs": [12]}),
    ],
)
def test_bodies_in_another_form_are_rejected(message, name, body):
    with pytest.raises(RequestRejected, match=message):
        request(signature_name=name, **body)


def test_body_that_is_not_a_json_object_is_rejected():
    for body in ("", "[1, 2]", "{", '"text"'):
        with pytest.raises(RequestRejected):
            to_request(body, SIGNATURES)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x80", "JSON parse error"),
        ("[" * 100_000, "JSON parse error"),
        ('{"signature_name": ["relabel"], "instances": [1]}', "Expected a signature"),
        (
            '{"signature_name": "relabel", "inputs": {"image": [[0, 1]],'
            ' "label": [4294967299]}}',
            "label in the range of int32",
        ),
    ],
)
def test_hostile_bodies_are_rejected(body, message):
    with pytest.raises(RequestRejected, match=message):
        to_request(body, SIGNATURES)
