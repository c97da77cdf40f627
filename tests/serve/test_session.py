"""A SavedModel is loaded and run without TensorFlow's Python, Keras or this project."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from serve_tf import session
from serve_tf.server import Refused, Server
from train_tf.export import Signature, export


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Signatures with strings, whole numbers and several outputs."""

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
    place, _ = export(tmp_path_factory.mktemp("x") / "mixed", signatures, {})
    return place


@pytest.fixture(scope="module")
def server(folder):
    with Server(folder) as server:
        yield server


INPUTS = {
    "text": np.array([b"", b"\0\xff" * 40, b"short"], object),
    "number": np.array([0, 5, 2**40], "int64"),
}


def test_signatures_say_names_dtypes_and_shapes(server):
    assert server.signatures == {
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


def test_answers_are_exact(server):
    answers = server.ask("serving_default", INPUTS)
    assert answers["twice"].tolist() == [b"", b"\0\xff" * 80, b"shortshort"]
    assert answers["length"].tolist() == [0, 80, 5]
    assert answers["half"].tolist() == [0, 2.5, 2.0**39]
    assert answers["row"].tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("Expected inputs", {"more": np.zeros(1)}),
        ("Expected number as int64", {"number": np.zeros(3, "int32")}),
        ("Expected text as bytes", {"text": np.zeros(3)}),
        ("Expected numbers from 0", {"number": np.array([1, -1, 1])}),
    ],
)
def test_bad_requests_are_refused_with_a_message(said, change, server):
    with pytest.raises(Refused, match=said):
        server.ask("serving_default", INPUTS | change)
    assert server.ask("serving_default", INPUTS)["length"].tolist() == [0, 80, 5]


def test_requests_at_once_are_answered_each(server):
    asked = [
        ("serving_default", {k: v[n % 3 :][:1] for k, v in INPUTS.items()})
        for n in range(300)
    ]
    answers = server.ask_at_once(asked)
    lengths = [answer["length"].tolist() for answer in answers]
    assert lengths == [[0], [80], [5]] * 100


def test_process_has_neither_tensorflow_nor_keras_nor_this_project(folder):
    program = (
        "import runpy, sys\n"
        f"run = runpy.run_path({session.__file__!r})\n"
        f"assert run['Session']({str(folder)!r}).signatures\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-P", "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in said
    for name in ("tensorflow", "keras", "serve_tf", "train_tf", "unet_tf", "cvae_tf"):
        assert f"'{name}'" not in said
