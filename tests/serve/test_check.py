"""Every export keeps its promises before the loader of TensorFlow Serving."""

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
    Broken,
    _read_extras,
    check_answers,
    check_load,
    check_refusals,
    check_rest,
    check_rows,
    check_saved_model,
    check_signatures,
    different_rows,
    promised,
)
from serve_tf.server import Refused, Server
from train_tf.errors import InputError
from unet_tf.data import load_data
from unet_tf.training import build, export_unet


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return load_data(tiny_config(tmp_path_factory.mktemp("photographs")))


def kept(folder):
    """What each check saw; fails where a promise is not kept."""
    seen = list(check_saved_model(folder))
    assert [said for kept, said in seen if not kept] == []
    return "\n".join(said for _, said in seen)


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("maxpool", "transpose"),
        pytest.param("strided", "upsample", marks=pytest.mark.slow),
        pytest.param("maxpool", "upsample", marks=pytest.mark.slow),
        pytest.param("strided", "transpose", marks=pytest.mark.slow),
    ],
)
def test_unets_keep_their_promises(down, up, tiny, photographs):
    config = dataclasses.replace(tiny, down=down, up=up, name="unet")
    model = build(config, (32, 32, 3), 3)
    folder = export_unet(model, config, photographs)
    seen = kept(folder)
    assert "signatures encoded, serving_default" in seen
    assert "8 requests with a broken row refused" in seen

    photos = photographs.test.photos[:3]
    files = np.array([tf.io.encode_png(photo).numpy() for photo in photos], object)
    image = photos.astype("float32") / 255
    expected = keras.ops.softmax(model.predict(image, verbose=0))
    with Server(folder) as server:
        floats = server.ask("serving_default", {"image": image})
        encoded = server.ask("encoded", {"image_bytes": files})
    np.testing.assert_allclose(floats["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(floats["mask"], floats["probabilities"].argmax(-1))
    np.testing.assert_array_equal(encoded["mask"], floats["mask"])
    np.testing.assert_array_equal(encoded["original_size"], [[32, 32]] * 3)


def test_vae_keeps_its_promises(trained_cvae):
    seen = kept(trained_cvae[1]["saved_model"])
    assert "signatures decode, encode, generate, serving_default" in seen
    assert "22 requests with a broken row refused" in seen


@pytest.fixture(scope="module")
def vae_server(trained_cvae):
    with Server(trained_cvae[1]["saved_model"]) as server:
        yield server


@pytest.mark.parametrize("shape", [(28, 28, 1), (2, 28, 28), (2, 32, 28, 1), ()])
def test_wrong_shape_is_refused_and_ends_no_process(shape, vae_server):
    label = np.zeros(2, "int32")
    wrong = {"image": np.zeros(shape, "float32"), "label": label}
    with pytest.raises(Refused, match="not compatible with expected shape"):
        vae_server.ask("serving_default", wrong)
    right = {"image": np.zeros((2, 28, 28, 1), "float32"), "label": label}
    answer = vae_server.ask("serving_default", right)
    assert answer["image"].shape == (2, 28, 28, 1)


def test_vae_generates_by_label_and_seed_alone(vae_server):
    labels = np.array([0, 1, 1], "int32")

    def pictures(*seeds):
        asked = {"label": labels, "seed": np.array(seeds, "int32")}
        return vae_server.ask("generate", asked)["image"]

    first = pictures(1, 2, 3)
    np.testing.assert_array_equal(first, pictures(1, 2, 3))
    changed = (first != pictures(1, 2, 4)).any((1, 2, 3))
    assert changed.tolist() == [False, False, True]


OWN_MODELS = (  # that the project carries
    "unet_maxpool_transpose_dice",
    "unet_maxpool_transpose_bce",
    "unet_strided_transpose_bce",
    "unet_strided_upsample_dice",
    "cvae_mnist_compact_gaussian",
    "cvae_cifar10_compact_gaussian",
)


def test_models_that_are_served_or_used_unasked_are_there():
    served = (ROOT / "serving/models.config").read_text()
    names = re.findall(r'base_path: "/models/(\w+)"', served)
    for script, config in (
        ("predict_unet", "PredictConfig"),
        ("wrong_labels", "WrongLabelsConfig"),
    ):
        defaults = runpy.run_path(str(ROOT / f"scripts/{script}.py"))[config]
        names.append(defaults.model.name)
    assert len(names) == 5 and set(names) <= set(OWN_MODELS)


@pytest.mark.parametrize(
    "name",
    [OWN_MODELS[0], *(pytest.param(x, marks=pytest.mark.slow) for x in OWN_MODELS[1:])],
)
def test_published_models_keep_their_promises(name):
    kept(ROOT / "saved_models" / name / "1")


def test_answers_that_are_no_numbers_break_the_promise(trained_cvae):
    class Silent:
        def ask(self, name, inputs):
            shape = (len(next(iter(inputs.values()))), 28, 28, 1)
            return {"image": np.full(shape, np.nan, "float32")}

    folder = Path(trained_cvae[1]["saved_model"])
    about, warm_up = _read_extras(folder)
    warm_up = {"serving_default": warm_up["serving_default"]}
    with pytest.raises(Broken, match="differ"):
        check_answers(Silent(), folder, warm_up)
    with pytest.raises(Broken, match="differ"):
        check_rows(Silent(), about, warm_up)


@pytest.mark.parametrize("leaks", [False, True])
def test_row_that_depends_on_those_beside_it_breaks_the_promise(leaks):
    class Mean:
        def ask(self, name, inputs):
            return {"image": inputs["image"] - leaks * inputs["image"].mean(0)}

    warm_up = {"serving_default": {"image": np.ones((1, 4, 4, 3), "float32")}}
    if leaks:
        with pytest.raises(Broken, match="Rows alone and in a batch of 7 differ by"):
            check_rows(Mean(), {}, warm_up)
    else:
        assert check_rows(Mean(), {}, warm_up).endswith("within 0")


def test_rows_of_every_kind_differ():
    picture = np.full((4, 4, 3), 200, "uint8")
    inputs = {
        "image": np.ones((1, 4, 4, 3), "float32"),
        "label": np.array([8], "int32"),
        "seed": np.array([2**31 - 1], "int32"),
        "image_bytes": np.array([tf.io.encode_png(picture).numpy()], object),
    }
    rows = different_rows(inputs, {"class_names": [str(n) for n in range(10)]})
    assert rows["label"] == [8, 9, 0, 1, 2, 3, 4]
    for name, values in rows.items():
        assert len({str(value.tolist()) for value in values}) == 7
        kind = (inputs[name].shape, inputs[name].dtype)
        assert {(value.shape, value.dtype) for value in values} == {kind}


def test_saved_model_that_cannot_be_read_is_told_in_a_sentence(trained, tmp_path):
    shutil.copytree(trained[1]["saved_model"], tmp_path / "1")
    graph = tmp_path / "1" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(InputError, match=f"^TensorFlow cannot load {tmp_path}/1: .*$"):
        list(check_saved_model(tmp_path / "1"))
    (tmp_path / "1" / "assets.extra" / "model.json").write_text("{}")
    with pytest.raises(InputError, match="model.json is of no UNet or CVAE, but: None"):
        list(check_saved_model(tmp_path / "1"))


def test_broken_promises_are_seen(trained_cvae, tmp_path):
    folder = tmp_path / "name" / "1"
    shutil.copytree(trained_cvae[1]["saved_model"], folder)
    description = folder / "assets.extra" / "model.json"
    about = json.loads(description.read_text())
    description.write_text(json.dumps(about | {"class_names": ["a", "b"]}))
    (said,) = [said for kept, said in check_saved_model(folder) if not kept]
    assert said.startswith("Expected 'Expected labels from 0 to 1' of serving_default")


def test_what_is_no_saved_model_is_named(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        list(check_saved_model(tmp_path))
    with pytest.raises(InputError, match="Could not find SavedModel"):
        Server(tmp_path)


PETS = {"kind": "UNet", "image_size": 8, "class_names": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoded": None}, "Expected encoded: .*Found: None"),
        (
            {"serving_default": {"inputs": {}, "outputs": {}}},
            "Expected serving_default",
        ),
        ({"secret": {"inputs": {}, "outputs": {}}}, "in no document: .'secret'."),
    ],
)
def test_signatures_that_are_not_the_promised_ones_are_seen(change, said):
    warm_up = dict.fromkeys(promised(PETS))
    seen = {x: y for x, y in (promised(PETS) | change).items() if y is not None}
    assert check_signatures(promised(PETS), PETS, warm_up).startswith("signatures enc")
    with pytest.raises(Broken, match=said):
        check_signatures(seen, PETS, warm_up)
    with pytest.raises(Broken, match="encoded is not warmed up"):
        check_signatures(promised(PETS), PETS, {"serving_default": None})


class Echo:
    """Gives back what it gets, and from the second request on `drift` more.

    Attributes:
        pid: of the process whose memory is looked at.
    """

    pid = os.getpid()
    signatures = {
        "serving_default": {"inputs": {"image": ("float32", (None, 4, 4, 3))}}
    }

    def __init__(self, drift=0.0, harm=0.0, axis_needed=True):
        self.drift, self.harm, self.axis_needed = drift, harm, axis_needed
        self.asked = 0

    def ask(self, name, inputs):
        image = inputs["image"]
        if self.axis_needed and image.ndim < 4:
            raise Refused("Expected a batch")
        self.asked += 1
        return {"image": image + self.drift * (self.asked > 1)}

    def ask_at_once(self, requests):
        answers = []
        for _, inputs in requests:
            image = inputs["image"]
            if np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1:
                answers.append({"image": image + self.harm})
            else:
                answers.append(Refused("Expected image from 0 to 1"))
        return answers


IMAGES = {"serving_default": {"image": np.full((1, 4, 4, 3), 0.5, "float32")}}


def test_request_that_a_broken_one_changes_breaks_the_promise():
    assert check_refusals(Echo(), {}, IMAGES).startswith("4 requests with a broken row")
    with pytest.raises(Broken, match="A broken image changed another request"):
        check_refusals(Echo(harm=0.1), {}, IMAGES)


def test_rest_that_is_answered_otherwise_breaks_the_promise():
    assert check_rest(Echo(), IMAGES).startswith("4 REST requests answered")
    with pytest.raises(Broken, match="serving_default answers REST otherwise"):
        check_rest(Echo(drift=0.1), IMAGES)
    with pytest.raises(Broken, match="took a REST request without a batch axis"):
        check_rest(Echo(axis_needed=False), IMAGES)


def test_load_that_changes_answers_or_grows_breaks_the_promise(monkeypatch):
    monkeypatch.setattr(check, "AFTER", 200)
    assert "1,000 requests at once" in check_load(Echo(), {}, IMAGES)
    with pytest.raises(Broken, match="answers otherwise among 1000 at once"):
        check_load(Echo(harm=0.1), {}, IMAGES)

    class Greedy(Echo):
        kept = []

        def ask_at_once(self, requests):
            self.kept.append(np.ones(2**21))  # 16 MiB
            return super().ask_at_once(requests)

    with pytest.raises(Broken, match="Memory grew by .* MiB in 200 requests"):
        check_load(Greedy(), {}, IMAGES)
