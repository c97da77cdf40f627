"""A SavedModel runs without the TensorFlow Python package, Keras or this project."""

import ast
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from serve_tf import session
from serve_tf.saved_model_process import (
    RequestRejected,
    SavedModelProcess,
    _read_signatures,
)
from train_tf.export import Signature, export


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A SavedModel with strings, integers and several outputs."""

    def mixed(text, number):
        tf.debugging.assert_non_negative(number, "Expected numbers from 0.")
        return {
            "twice": tf.strings.join([text, text]),
            "length": tf.strings.length(text),
            "half": tf.cast(number, tf.float32) / 2,
            "row": tf.cast(number[:, None] > tf.range(3, dtype=tf.int64), tf.uint8),
        }

    specs = {
        "text": tf.TensorSpec((None,), tf.string, "text"),
        "number": tf.TensorSpec((None,), tf.int64, "number"),
    }
    examples = [np.array([b"a"], object), np.array([1], "int64")]
    signatures = {"serving_default": Signature(mixed, specs, examples)}
    return export(tmp_path_factory.mktemp("x") / "mixed", signatures, {})[0]


@pytest.fixture(scope="module")
def process(folder):
    with SavedModelProcess(folder) as process:
        yield process


INPUTS = {
    "text": np.array([b"", b"\0\xff" * 40, b"short"], object),
    "number": np.array([0, 5, 2**40], "int64"),
}


def test_signatures_have_names_dtypes_and_shapes(process):
    assert process.signatures == {
        "serving_default": {
            "inputs": {"text": ("bytes", (None,)), "number": ("int64", (None,))},
            "outputs": {
                "twice": ("bytes", (None,)),
                "length": ("int32", (None,)),
                "half": ("float32", (None,)),
                "row": ("uint8", (None, 3)),
            },
        }
    }


def test_outputs_are_exact(process):
    outputs = process.predict("serving_default", INPUTS)
    assert outputs["twice"].tolist() == [b"", b"\0\xff" * 80, b"shortshort"]
    assert outputs["length"].tolist() == [0, 80, 5]
    assert outputs["half"].tolist() == [0, 2.5, 2.0**39]
    assert outputs["row"].tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("Expected inputs", {"more": np.zeros(1)}),
        ("Expected number as int64", {"number": np.zeros(3, "int32")}),
        ("Expected text as bytes", {"text": np.zeros(3)}),
        ("Expected numbers from 0", {"number": np.array([1, -1, 1])}),
    ],
)
def test_bad_requests_are_rejected_with_a_message(message, change, process):
    with pytest.raises(RequestRejected, match=message):
        process.predict("serving_default", INPUTS | change)
    assert process.predict("serving_default", INPUTS)["length"].tolist() == [0, 80, 5]


def test_concurrent_requests_get_their_own_outputs(process):
    requests = [
        ("serving_default", {k: v[n % 3 :][:1] for k, v in INPUTS.items()})
        for n in range(300)
    ]
    answers = process.predict_concurrently(requests)
    lengths = [outputs["length"].tolist() for outputs in answers]
    assert lengths == [[0], [80], [5]] * 100


def test_process_has_neither_tensorflow_nor_keras_nor_this_project(folder, tmp_path):
    answers = tmp_path / "answers"
    program = (
        "import runpy, sys\n"
        f"serve = runpy.run_path({session.__file__!r})['serve']\n"
        f"with open({str(answers)!r}, 'wb') as sink:\n"
        f"    serve({str(folder)!r}, sys.stdin.buffer, sink)\n"
        "print({name.split('.')[0] for name in sys.modules})"
    )
    messages = (_read_signatures(folder), [("serving_default", INPUTS)])
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        input=b"".join(map(pickle.dumps, messages)),
        capture_output=True,
        check=True,
    )
    with open(answers, "rb") as file:
        assert pickle.load(file) is None
        (outputs,) = pickle.load(file)
    assert outputs["length"].tolist() == [0, 80, 5]
    modules = ast.literal_eval(result.stdout.decode())
    assert "numpy" in modules
    unwanted = {"tensorflow", "keras", "serve_tf", "train_tf", "unet_tf", "cvae_tf"}
    assert not modules & unwanted
