"""Export writes the next version atomically, verifies its outputs, and leaves earlier
versions unchanged.
"""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from train_tf.errors import InputError
from train_tf.export import (
    MODEL_JSON_KEYS,
    WARM_UP_REQUESTS,
    Signature,
    export,
    load,
    max_abs_difference,
    model_name,
    next_version,
    saved_model_of,
)


def doubling():
    """Signatures, as `export` takes them."""
    image = keras.Input((None, None, 1), name="image")
    model = keras.Model(image, keras.layers.Rescaling(2.0)(image))

    def double(image):
        return {"doubled": model(image)}

    spec = {"image": tf.TensorSpec((None, None, None, 1), tf.float32, "image")}
    example = [np.ones((2, 3, 4, 1), "f")]
    return {"serving_default": Signature(double, spec, example)}


def test_versions_count_up_and_stay_untouched(tmp_path):
    folder = tmp_path / "name"
    first, difference = export(folder, doubling(), {"classes": 3})
    assert (first, difference) == (folder / "1", 0)
    before = (first / "saved_model.pb").read_bytes()
    (folder / "7").mkdir()
    (folder / "notes").mkdir()
    second, _ = export(folder, doubling(), {})
    assert second == folder / "8"
    assert (first / "saved_model.pb").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"1", "7", "8", "notes"}


def test_saved_model_has_documented_names_and_any_batch(tmp_path):
    place, _ = export(tmp_path / "name", doubling(), {"classes": 3})
    signature = tf.saved_model.load(str(place)).signatures["serving_default"]
    assert set(signature.structured_input_signature[1]) == {"image"}
    for batch in (1, 3):
        answer = signature(image=tf.ones((batch, 2, 2, 1)))
        assert (
            answer["doubled"].numpy().tolist() == np.full((batch, 2, 2, 1), 2).tolist()
        )
    about = json.loads((place / "assets.extra" / "model.json").read_text())
    assert about == {"classes": 3}


@pytest.mark.parametrize("wrong", [0.1, float("nan")])
def test_saved_model_that_answers_otherwise_is_not_kept(wrong, tmp_path, monkeypatch):
    load = tf.saved_model.load

    def load_otherwise(folder):
        double = load(folder).signatures["serving_default"]

        def signature(image):
            return {"doubled": double(image=image)["doubled"] + wrong}

        return SimpleNamespace(signatures={"serving_default": signature})

    monkeypatch.setattr(tf.saved_model, "load", load_otherwise)
    with pytest.raises(InputError, match="to give the model's outputs"):
        export(tmp_path / "name", doubling(), {})
    assert not list((tmp_path / "name").iterdir())


def test_difference_is_infinite_where_there_is_none_to_tell():
    assert max_abs_difference(np.array([1.0, 2.0]), np.array([1.0, 2.5])) == 0.5
    assert max_abs_difference(np.ones((2, 3)), np.ones((3, 2))) == np.inf
    for broken in (np.nan, np.inf):
        assert (
            max_abs_difference(np.array([1.0, broken]), np.array([1.0, broken]))
            == np.inf
        )


@pytest.mark.parametrize("kind", MODEL_JSON_KEYS)
def test_description_that_lacks_something_is_named(kind, tmp_path):
    for lacking in MODEL_JSON_KEYS[kind]:
        about = {"kind": kind, **dict.fromkeys(MODEL_JSON_KEYS[kind] - {lacking}, 1)}
        place, _ = export(tmp_path / "name", doubling(), about)
        with pytest.raises(InputError, match=f"{place}; model.json lacks {lacking}$"):
            load(place)


def test_half_a_saved_model_is_named(tmp_path):
    about = {"kind": "UNet", **dict.fromkeys(MODEL_JSON_KEYS["UNet"], 1)}
    place, _ = export(tmp_path / "name", doubling(), about)
    (file,) = (place / "variables").glob("variables.data*")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="Expected the SavedModel of a UNet"):
        load(place, "UNet")


def test_versions_are_whole_numbers(tmp_path):
    assert next_version(tmp_path / "nowhere") == 1
    for name in ("2", "10", "v11", "0.5"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").touch()
    assert next_version(tmp_path) == 11


def test_weights_are_written_once(tmp_path):
    image = keras.Input((4, 4, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(1000)(image))
    spec = {"image": tf.TensorSpec((None, 4, 4, 1), tf.float32, "image")}
    answer = Signature(
        lambda image: {"x": model(image)}, spec, [np.ones((1, 4, 4, 1), "f")]
    )
    place, _ = export(tmp_path / "name", {"serving_default": answer}, {})
    (file,) = (place / "variables").glob("variables.data*")
    assert file.stat().st_size < 1.5 * 4 * model.count_params()


def test_each_signature_is_warmed_up_by_the_first_row_of_its_examples(tmp_path):
    place, _ = export(tmp_path / "name", doubling(), {})
    (record,) = tf.data.TFRecordDataset(str(place / "assets.extra" / WARM_UP_REQUESTS))
    request = PredictionLog.FromString(record.numpy()).predict_log.request
    assert request.model_spec.name == "name"
    assert request.model_spec.signature_name == "serving_default"
    image = tf.make_ndarray(request.inputs["image"])
    np.testing.assert_array_equal(image, np.ones((1, 3, 4, 1), "float32"))


def test_results_are_of_one_version_wherever_it_is_now(tmp_path):
    results = {"config": {"name": "cats"}, "saved_model": "/elsewhere/cats/12"}
    assert saved_model_of(results, tmp_path) == tmp_path / "cats" / "12"


def test_model_may_be_named_by_digits(tmp_path):
    (tmp_path / "2024/1").mkdir(parents=True)
    (tmp_path / "2024/1/saved_model.pb").touch()
    assert model_name(tmp_path / "2024") == model_name(tmp_path / "2024/1") == "2024"
