"""Exported and published SavedModels pass the checks; faulty ones fail them."""

import dataclasses
import json
import os
import re
import runpy
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import ROOT, tiny_config

from serve_tf import check
from serve_tf.check import (
    CheckFailed,
    _read_extras,
    check_batches,
    check_invalid_rows,
    check_outputs,
    check_saved_model,
    check_signatures,
    check_stress,
    distinct_rows,
    expected_signatures,
)
from serve_tf.saved_model_process import RequestRejected, SavedModelProcess
from train_tf.errors import InputError
from unet_tf.data import load_data
from unet_tf.training import build, export_unet


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_data(tiny_config(tmp_path_factory.mktemp("data")))


def passing_checks(folder):
    """The messages of all checks, which shall pass."""
    results = list(check_saved_model(folder))
    assert [message for passed, message in results if not passed] == []
    return "\n".join(message for _, message in results)


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("maxpool", "transpose"),
        pytest.param("strided", "upsample", marks=pytest.mark.slow),
        pytest.param("maxpool", "upsample", marks=pytest.mark.slow),
        pytest.param("strided", "transpose", marks=pytest.mark.slow),
    ],
)
def test_exported_unet_passes(down, up, tiny, data):
    config = dataclasses.replace(tiny, down=down, up=up, name="unet")
    model = build(config, (32, 32, 3), 3)
    folder = export_unet(model, config, data)
    messages = passing_checks(folder)
    assert "signatures encoded, serving_default" in messages
    assert "8 requests with an invalid row rejected" in messages

    images = data.test.images[:3]
    files = np.array([tf.io.encode_png(image).numpy() for image in images], object)
    scaled = images.astype("float32") / 255
    expected = keras.ops.softmax(model.predict(scaled, verbose=0))
    with SavedModelProcess(folder) as process:
        plain = process.predict("serving_default", {"image": scaled})
        encoded = process.predict("encoded", {"image_bytes": files})
    np.testing.assert_allclose(plain["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(plain["mask"], plain["probabilities"].argmax(-1))
    np.testing.assert_array_equal(encoded["mask"], plain["mask"])
    np.testing.assert_array_equal(encoded["original_size"], [[32, 32]] * 3)


def test_exported_cvae_passes(trained_cvae):
    messages = passing_checks(trained_cvae[1]["saved_model"])
    assert "signatures decode, encode, generate, serving_default" in messages
    assert "22 requests with an invalid row rejected" in messages


@pytest.fixture(scope="module")
def cvae_process(trained_cvae):
    with SavedModelProcess(trained_cvae[1]["saved_model"]) as process:
        yield process


@pytest.mark.parametrize("shape", [(28, 28, 1), (2, 28, 28), (2, 32, 28, 1), ()])
def test_wrong_shape_is_rejected_and_the_process_goes_on(shape, cvae_process):
    label = np.zeros(2, "int32")
    wrong = {"image": np.zeros(shape, "float32"), "label": label}
    with pytest.raises(RequestRejected, match="not compatible with expected shape"):
        cvae_process.predict("serving_default", wrong)
    right = {"image": np.zeros((2, 28, 28, 1), "float32"), "label": label}
    outputs = cvae_process.predict("serving_default", right)
    assert outputs["image"].shape == (2, 28, 28, 1)


def test_generated_image_depends_on_label_and_seed_alone(cvae_process):
    labels = np.array([0, 1, 1], "int32")

    def generate(*seeds):
        inputs = {"label": labels, "seed": np.array(seeds, "int32")}
        return cvae_process.predict("generate", inputs)["image"]

    first = generate(1, 2, 3)
    np.testing.assert_array_equal(first, generate(1, 2, 3))
    changed = (first != generate(1, 2, 4)).any((1, 2, 3))
    assert changed.tolist() == [False, False, True]


PUBLISHED = (
    "pets_maxpool_transpose_dice",
    "pets_maxpool_transpose_bce",
    "pets_strided_transpose_bce",
    "pets_strided_upsample_dice",
    "mnist_compact_gaussian",
    "cifar10_compact_gaussian",
)


def test_served_and_default_models_are_published():
    served = (ROOT / "deploy/serving/models.config").read_text()
    names = re.findall(r'base_path: "/models/(\w+)"', served)
    assert re.findall(r'name: "(\w+)"', served) == names
    for script in ("predict_unet", "relabel_cvae"):
        contents = runpy.run_path(str(ROOT / f"scripts/{script}.py")).values()
        (config,) = filter(dataclasses.is_dataclass, contents)
        names.append(config.model.name)
    assert len(names) == 5 and set(names) <= set(PUBLISHED)


@pytest.mark.parametrize(
    "name",
    [PUBLISHED[0], *(pytest.param(x, marks=pytest.mark.slow) for x in PUBLISHED[1:])],
)
def test_published_model_passes(name):
    passing_checks(ROOT / "saved_models" / name / "1")


def test_outputs_that_are_nan_fail(trained_cvae):
    class NaN:
        def predict(self, name, inputs):
            shape = (len(next(iter(inputs.values()))), 28, 28, 1)
            return {"image": np.full(shape, np.nan, "float32")}

    folder = Path(trained_cvae[1]["saved_model"])
    description, warm_up = _read_extras(folder)
    warm_up = {"serving_default": warm_up["serving_default"]}
    with pytest.raises(CheckFailed, match="differ"):
        check_outputs(NaN(), folder, warm_up)
    with pytest.raises(CheckFailed, match="differ"):
        check_batches(NaN(), description, warm_up)


@pytest.mark.parametrize("leaks", [False, True])
def test_row_that_depends_on_other_rows_fails(leaks):
    class Mean:
        def predict(self, name, inputs):
            return {"image": inputs["image"] - leaks * inputs["image"].mean(0)}

    warm_up = {"serving_default": {"image": np.ones((1, 4, 4, 3), "float32")}}
    if leaks:
        message = "Rows alone and in a batch of 7 differ by"
        with pytest.raises(CheckFailed, match=message):
            check_batches(Mean(), {}, warm_up)
    else:
        assert check_batches(Mean(), {}, warm_up).endswith("within 0")


def test_distinct_rows_differ_for_every_kind_of_input():
    image = np.full((4, 4, 3), 200, "uint8")
    inputs = {
        "image": np.ones((1, 4, 4, 3), "float32"),
        "label": np.array([8], "int32"),
        "seed": np.array([2**31 - 1], "int32"),
        "image_bytes": np.array([tf.io.encode_png(image).numpy()], object),
    }
    batch = distinct_rows(inputs, {"class_names": [str(n) for n in range(10)]})
    assert batch.keys() == inputs.keys()
    assert batch["label"].tolist() == [8, 9, 0, 1, 2, 3, 4]
    for name, values in batch.items():
        assert len({str(row) for row in values.tolist()}) == 7
        assert values.shape[1:] == inputs[name].shape[1:]
        assert values.dtype == inputs[name].dtype


def test_unreadable_saved_model_is_reported(trained, tmp_path):
    shutil.copytree(trained[1]["saved_model"], tmp_path / "1")
    graph = tmp_path / "1" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(InputError, match=f"^TensorFlow cannot load {tmp_path}/1: .*$"):
        list(check_saved_model(tmp_path / "1"))
    (tmp_path / "1" / "assets.extra" / "model.json").write_text("{}")
    message = "model.json has kind None, not UNet or CVAE"
    with pytest.raises(InputError, match=message):
        list(check_saved_model(tmp_path / "1"))


def test_failed_check_is_reported(trained_cvae, tmp_path):
    folder = tmp_path / "name" / "1"
    shutil.copytree(trained_cvae[1]["saved_model"], folder)
    file = folder / "assets.extra" / "model.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps(description | {"class_names": ["a", "b"]}))
    (message,) = [x for passed, x in check_saved_model(folder) if not passed]
    expected = "Expected 'Expected labels from 0 to 1' from serving_default"
    assert message.startswith(expected)


def test_folder_without_a_saved_model_is_reported(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        list(check_saved_model(tmp_path))
    with pytest.raises(InputError, match="Could not find SavedModel"):
        SavedModelProcess(tmp_path)


PETS = {"kind": "UNet", "image_size": 8, "class_names": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoded": None}, "Expected encoded: .*Found: None"),
        (
            {"serving_default": {"inputs": {}, "outputs": {}}},
            "Expected serving_default",
        ),
        (
            {"secret": {"inputs": {}, "outputs": {}}},
            "Undocumented signatures: .'secret'.",
        ),
    ],
)
def test_unexpected_signatures_fail(change, message):
    expected = expected_signatures(PETS)
    warm_up = dict.fromkeys(expected)
    changed = {x: y for x, y in (expected | change).items() if y is not None}
    assert check_signatures(expected, PETS, warm_up).startswith("signatures enc")
    with pytest.raises(CheckFailed, match=message):
        check_signatures(changed, PETS, warm_up)
    with pytest.raises(CheckFailed, match="a warm-up request for encoded"):
        check_signatures(expected, PETS, {"serving_default": None})


class Echo:
    """Returns its inputs; adds `error` to those of concurrent requests.

    Attributes:
        pid: of the process whose memory is measured.
    """

    pid = os.getpid()

    def __init__(self, error=0.0):
        self.error = error

    def predict(self, name, inputs):
        return inputs

    def predict_concurrently(self, requests):
        answers = []
        for _, inputs in requests:
            image = inputs["image"]
            if np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1:
                answers.append({"image": image + self.error})
            else:
                answers.append(RequestRejected("Expected image from 0 to 1"))
        return answers


IMAGES = {"serving_default": {"image": np.full((1, 4, 4, 3), 0.5, "float32")}}


def test_request_changed_by_an_invalid_one_fails():
    message = check_invalid_rows(Echo(), {}, IMAGES)
    assert message.startswith("4 requests with an invalid row")
    with pytest.raises(CheckFailed, match="invalid image changed another request"):
        check_invalid_rows(Echo(error=0.1), {}, IMAGES)


def test_load_that_changes_outputs_or_memory_fails(monkeypatch):
    monkeypatch.setattr(check, "MEMORY_REQUESTS", 200)
    assert "1,000 concurrent requests" in check_stress(Echo(), {}, IMAGES)
    with pytest.raises(CheckFailed, match="differs among 1000 concurrent requests"):
        check_stress(Echo(error=0.1), {}, IMAGES)

    class Leaking(Echo):
        leaked = []

        def predict_concurrently(self, requests):
            self.leaked.append(np.ones(2**21))  # 16 MiB
            return super().predict_concurrently(requests)

    with pytest.raises(CheckFailed, match="Memory grew by .* MiB in 200 requests"):
        check_stress(Leaking(), {}, IMAGES)
