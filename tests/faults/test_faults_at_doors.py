"""A hundred broken inputs for each door: a sentence or a good answer, nothing else."""

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
from serve_tf.server import Refused
from train_tf.errors import InputError
from train_tf.run.loop import TOLD

pytestmark = pytest.mark.slow
TIMES = 100
hundred = settings(
    max_examples=TIMES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def broken(draw, content):
    """Bytes that were once `content`: cut short, with other bytes, or with more."""
    content = bytearray(content)
    how = draw(st.sampled_from(["cut", "changed", "longer", "empty"]))
    if how == "cut":
        return bytes(content[: draw(st.integers(1, len(content) - 1))])
    if how == "longer":
        at = draw(st.integers(0, len(content)))
        return bytes(content[:at] + draw(st.binary(min_size=1)) + content[at:])
    if how == "empty":
        return b""
    for _ in range(draw(st.integers(1, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


def picture(form):
    """A photograph of noise, or a mask of two ids, as a file."""
    file = io.BytesIO()
    lot = np.random.default_rng(0)
    if form == "mask":
        Image.fromarray(lot.integers(0, 2, (20, 24), "uint8")).save(file, "PNG")
    else:
        Image.fromarray(lot.integers(0, 256, (20, 24, 3), "uint8")).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF", "mask"])
def test_picture_folders(form, tmp_path, record):
    from train_tf.data.folders import read_mask_folder

    images, masks = write_photos_and_masks(tmp_path)
    if form == "mask":
        place = masks / "3.png"
    else:
        (images / "3.png").unlink()
        place = images / f"3.{form.lower()}"
    refused = 0

    @hundred
    @given(broken(picture(form)))
    def spoil(content):
        nonlocal refused
        place.write_bytes(content)
        try:
            read_mask_folder(images, masks, None, lambda photo, mask: (photo, mask))
        except InputError as error:
            assert place.name in str(error)
            refused += 1

    spoil()
    assert refused > TIMES // 4
    what = "a mask" if form == "mask" else f"a {form} photograph"
    record(f"{what} broken", TIMES, "nothing: named, or read as far as it is whole")


CHANGES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def other_json(draw, content):
    """JSON text that was once `content`: with other values, keys, or none at all."""
    if draw(st.booleans()):
        return draw(broken(json.dumps(content).encode()))
    if draw(st.booleans()):
        return json.dumps(draw(CHANGES)).encode()
    changed = dict(content)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(changed)) | st.text(max_size=5))
        changed[key] = draw(CHANGES)
    return json.dumps(changed).encode()


@pytest.fixture
def stopped_run(tmp_path):
    """The folder of a run that was stopped after two of three epochs."""
    import keras

    from train_tf.run.loop import Run

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with Run(BareConfig(tmp_path / "run"), "val_loss", "min") as run:
        for loss in (2.0, 1.0):
            run.save(model, {"loss": loss, "val_loss": loss}, (1.0, 2.0))
        run.keep("split.json", {"train": 3})
        run.keep("precision.json", {"precision": "bfloat16"})
        run.write_results(dict.fromkeys(TOLD, 1) | {"epochs": 2, "saved_model": "."})
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
def test_run_folder(name, stopped_run, tmp_path, record, capsys):
    from train_tf import devices
    from train_tf.run import task as training
    from train_tf.run.loop import Run

    folder, model = stopped_run
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    file = folder / name
    content = file.read_bytes()
    if name.endswith("json"):
        contents = other_json(json.loads(content))
    else:
        contents = broken(content)

    @hundred
    @given(contents)
    def spoil(content):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        file.write_bytes(content)
        try:
            config = BareConfig(folder, resume=True)
            assert training._precision(config) in devices.PRECISIONS
            with Run(config, "val_loss", "min") as run:
                run.keep("split.json", {"train": 3})
                assert run.epochs_done in (1, 2)
                assert run.results is None or run.results.keys() >= TOLD
                run.load_last(model)
                run.load_best(model)
        except InputError as error:
            assert str(file) in str(error) or str(folder) in str(error)
        assert (folder / "checkpoints/epoch-0001/model.weights.h5").exists()

    spoil()
    lost = "named, or the one before taken"
    if name == "results.json":
        lost = "written again, if something that is told is missing"
    record(f"{name} of a run broken", TIMES, f"nothing: {lost}")


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


def test_request(record):
    @hundred
    @given(other_json(BODY))
    def spoil(body):
        try:
            name, inputs = to_request(body, SIGNATURES)
        except Refused as error:
            assert str(error)
        else:
            assert inputs.keys() == SIGNATURES[name]["inputs"].keys()

    spoil()
    what = "a request's JSON broken, by our reading of TensorFlow Serving's rules"
    record(what, TIMES, "nothing: refused by a sentence")
