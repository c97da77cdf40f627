"""A hundred damaged inputs of each kind: an error message or a valid result."""

import io
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import BareConfig, write_photos_and_masks

from serve_tf.rest import to_request
from serve_tf.saved_model_process import RequestRejected
from train_tf.errors import InputError
from train_tf.run.resumable_run import REQUIRED_RESULTS

pytestmark = pytest.mark.slow
TIMES = 100
hundred = settings(
    max_examples=TIMES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def damaged(draw, content):
    """`content` cut short, with changed bytes, with more bytes, or empty."""
    content = bytearray(content)
    damage = draw(st.sampled_from(["cut", "changed", "longer", "empty"]))
    if damage == "cut":
        return bytes(content[: draw(st.integers(1, len(content) - 1))])
    if damage == "longer":
        at = draw(st.integers(0, len(content)))
        return bytes(content[:at] + draw(st.binary(min_size=1)) + content[at:])
    if damage == "empty":
        return b""
    for _ in range(draw(st.integers(1, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


def image_file(kind):
    """The bytes of an image file of noise, or of a mask with two ids."""
    file = io.BytesIO()
    generator = np.random.default_rng(0)
    if kind == "mask":
        Image.fromarray(generator.integers(0, 2, (20, 24), "uint8")).save(file, "PNG")
    else:
        Image.fromarray(generator.integers(0, 256, (20, 24, 3), "uint8")).save(
            file, kind
        )
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "mask"])
def test_damaged_image_or_mask(kind, tmp_path, record):
    from train_tf.data.folders import read_mask_folder

    images, masks = write_photos_and_masks(tmp_path)
    if kind == "mask":
        file = masks / "3.png"
    else:
        (images / "3.png").unlink()
        file = images / f"3.{kind.lower()}"
    rejected = 0

    @hundred
    @given(damaged(image_file(kind)))
    def check(content):
        nonlocal rejected
        file.write_bytes(content)
        try:
            read_mask_folder(images, masks, None, lambda image, mask: (image, mask))
        except InputError as error:
            assert file.name in str(error)
            rejected += 1

    check()
    assert rejected > TIMES // 4
    failure = "damaged mask" if kind == "mask" else f"damaged {kind} image"
    record(failure, TIMES, "the file is named, or its intact part is used")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def changed_json(draw, content):
    """Bytes of JSON: `content` damaged, or with other keys and values."""
    if draw(st.booleans()):
        return draw(damaged(json.dumps(content).encode()))
    if draw(st.booleans()):
        return json.dumps(draw(VALUES)).encode()
    changed = dict(content)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(changed)) | st.text(max_size=5))
        changed[key] = draw(VALUES)
    return json.dumps(changed).encode()


@pytest.fixture
def stopped_run(tmp_path):
    """The folder of a run that was stopped after two of three epochs, and its model."""
    import keras

    from train_tf.run.resumable_run import Run

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with Run(BareConfig(tmp_path / "run"), "val_loss", "min") as run:
        for loss in (2.0, 1.0):
            run.save(model, {"loss": loss, "val_loss": loss}, (1.0, 2.0))
        run.write_or_verify("split.json", {"train": 3})
        run.write_or_verify("precision.json", {"precision": "bfloat16"})
        run.write_results(
            dict.fromkeys(REQUIRED_RESULTS, 1) | {"epochs": 2, "saved_model": "."}
        )
    return run.folder, model


FILES = [
    "config.json",
    "split.json",
    "precision.json",
    "results.json",
    "checkpoints/epoch-0002/state.json",
    "checkpoints/epoch-0002/model.weights.h5",
]


@pytest.mark.parametrize("name", FILES)
def test_damaged_run_folder(name, stopped_run, tmp_path, record, capsys):
    from train_tf import devices
    from train_tf.run import training
    from train_tf.run.resumable_run import Run

    folder, model = stopped_run
    intact = tmp_path / "intact"
    shutil.copytree(folder, intact)
    file = folder / name
    content = file.read_bytes()
    if name.endswith("json"):
        contents = changed_json(json.loads(content))
    else:
        contents = damaged(content)

    @hundred
    @given(contents)
    def check(content):
        shutil.rmtree(folder)
        shutil.copytree(intact, folder)
        file.write_bytes(content)
        try:
            config = BareConfig(folder, resume=True)
            assert training._requested_precision(config) in devices.PRECISIONS
            with Run(config, "val_loss", "min") as run:
                run.write_or_verify("split.json", {"train": 3})
                assert run.epochs_done in (1, 2)
                assert run.results is None or run.results.keys() >= REQUIRED_RESULTS
                run.load_last(model)
                run.load_best(model)
        except InputError as error:
            assert str(file) in str(error) or str(folder) in str(error)
        assert (folder / "checkpoints/epoch-0001/model.weights.h5").exists()

    check()
    outcome = "the file is named, or the previous checkpoint is used"
    if name == "results.json":
        outcome = "it is used if complete, else written again"
    record(f"damaged {name} of a run", TIMES, outcome)


BODY = {
    "signature_name": "relabel",
    "instances": [{"image": [0.0, 1.0], "label": 3}, {"image": [0.5, 0.0], "label": 4}],
}
SIGNATURES = {
    "serving_default": {"inputs": {"image": ("float32", (None, 2))}},
    "encoded": {"inputs": {"image_bytes": ("bytes", (None,))}},
    "relabel": {
        "inputs": {"image": ("float32", (None, 2)), "label": ("int32", (None,))}
    },
}


def test_damaged_request(record):
    @hundred
    @given(changed_json(BODY))
    def check(body):
        try:
            name, inputs = to_request(body, SIGNATURES)
        except RequestRejected as error:
            assert str(error)
        else:
            assert inputs.keys() == SIGNATURES[name]["inputs"].keys()

    check()
    failure = "damaged JSON of a request, as `serve_tf.rest` reads it"
    record(failure, TIMES, "rejected with a message")
