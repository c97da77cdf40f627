"""Runtimes give the outputs of the SavedModel; unsupported models are reported."""

import errno

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import write_photos_and_masks

from serve_tf import compare
from serve_tf.compare import as_table, export_and_compare
from serve_tf.runtimes import RUNTIMES, export_to, load_from
from train_tf.errors import InputError
from train_tf.export import Signature, export
from train_tf.files import DISK_FULL
from unet_tf.blocks import strided_down, upsample_up
from unet_tf.model import build_unet

PACKAGES = {"onnx": "tf2onnx", "litert": "ai_edge_litert", "openvino": "openvino"}
ANY_SIZE = tf.TensorSpec((None, None, None, 3), tf.float32, "image")


def skip_if_not_installed(runtime):
    if runtime in PACKAGES:
        pytest.importorskip(PACKAGES[runtime])


def edges(size=8):
    """Signatures and description of a small UNet."""
    keras.utils.set_random_seed(0)
    blocks = {"down": strided_down, "up": upsample_up}
    network = build_unet((None, None, 3), 2, filters=2, depth=1, **blocks)

    def segment(image):
        logits = network(image)
        mask = tf.cast(tf.argmax(logits, -1), tf.uint8)
        return {"probabilities": tf.nn.softmax(logits), "mask": mask}

    examples = [np.zeros((1, size, size, 3), "float32")]
    signature = Signature(segment, {"image": ANY_SIZE}, examples)
    names = ("ground", "edge")
    description = {"kind": "UNet", "image_size": size, "class_names": names}
    description |= {"colours": [[0, 0, 0], [9, 9, 9]]}
    return {"serving_default": signature}, description


@pytest.fixture(scope="module")
def edges_model(tmp_path_factory):
    return export(tmp_path_factory.mktemp("models") / "edges", *edges())[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_runtime_gives_the_outputs_of_the_saved_model(runtime, edges_model, tmp_path):
    skip_if_not_installed(runtime)
    request = {"image": np.random.default_rng(1).random((5, 8, 8, 3), "float32")}
    expected = load_from("saved_model", edges_model)(request)
    run = load_from(runtime, export_to(runtime, edges_model, tmp_path / "out"))
    for count in (5, 1):
        outputs = run({"image": request["image"][:count]})
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values[:count], atol=1e-5)
            assert outputs[name].dtype == values.dtype


@pytest.mark.parametrize("runtime", PACKAGES)
def test_output_with_the_name_of_an_input_is_renamed(runtime, tmp_path):
    skip_if_not_installed(runtime)
    examples, specs = [np.ones((1, 8, 8, 3), "float32")], {"image": ANY_SIZE}
    signature = Signature(lambda image: {"image": 2 * image}, specs, examples)
    _, description = edges()
    model, _ = export(tmp_path / "double", {"serving_default": signature}, description)
    run = load_from(runtime, export_to(runtime, model, tmp_path / "out"))
    np.testing.assert_array_equal(run({"image": examples[0]})["image_out"], 2.0)


@pytest.mark.parametrize("runtime", PACKAGES)
def test_quantized_runtime_differs_little(runtime, edges_model, tmp_path):
    skip_if_not_installed(runtime)
    images = np.random.default_rng(1).random((5, 1, 8, 8, 3), "float32")
    requests = [{"image": image} for image in images]
    expected = load_from("saved_model", edges_model)(requests[0])["probabilities"]
    run = load_from(
        runtime, export_to(runtime, edges_model, tmp_path / "out", requests)
    )
    difference = np.abs(run(requests[0])["probabilities"] - expected)
    assert 0 < difference.max() < 0.1


def test_unusable_requests_for_exports_are_reported(edges_model, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="float32; int8 is for the other runtimes"):
        export_to("saved_model", edges_model, tmp_path / "out", [])
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there exists already"):
        export_to("onnx", edges_model, tmp_path / "there")
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(InputError, match="requirements-export.txt"):
        export_to("openvino", edges_model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_comparison_has_a_row_per_runtime(trained, tmp_path):
    rows = export_and_compare(
        trained[1]["saved_model"], ("saved_model",), "none", tmp_path / "out"
    )
    assert list(rows) == ["SavedModel", "saved_model"]
    for row in rows.values():
        assert row["largest_difference"] < 1e-5
        test = trained[1]["test"]
        assert row["mean_iou"] == pytest.approx(test["mean_iou"], abs=1e-3)
        assert row["milliseconds"] > 0 and row["images_per_second"] > 0
        assert row["bytes"] > 1000 and row["images"] == trained[1]["images"]["test"]
    rows["onnx"] = {"error": "onnx does not support this model: no such operation"}
    table = as_table(rows).splitlines()
    assert f"difference, {row['images']} images" in table[0]
    assert len(table) == 5 and "no such operation" in table[-1]


def test_speed_of_a_small_batch_counts_its_images(monkeypatch):
    clock = [0.0]

    def run(request):
        clock[0] += 0.01 * len(request["image"])  # 100 a second

    monkeypatch.setattr(compare.time, "perf_counter", lambda: clock[0])
    (row,) = compare._speeds({"slow": run}, {"image": np.zeros((5, 2, 2, 3))}).values()
    assert row["batch_size"] == 5
    assert row["milliseconds"] == pytest.approx(10)
    assert row["images_per_second"] == pytest.approx(100)


def test_existing_exports_are_reported_before_any_work(trained, tmp_path):
    existing = tmp_path / "out" / "saved_model"
    existing.mkdir(parents=True)
    with pytest.raises(InputError, match=f"there already: {existing}\\."):
        export_and_compare(
            trained[1]["saved_model"], ("saved_model", "onnx"), "none", tmp_path / "out"
        )
    assert not list(existing.iterdir())


def test_own_model_is_compared_on_own_images(edges_model, tmp_path):
    with pytest.raises(InputError, match="Expected images .--images."):
        export_and_compare(edges_model, ("onnx",), "int8", tmp_path / "out")
    images, _ = write_photos_and_masks(tmp_path)
    rows = export_and_compare(
        edges_model, ("saved_model",), "none", tmp_path / "out", images
    )
    assert rows["saved_model"]["largest_difference"] < 1e-5
    assert "mean_iou" not in rows["saved_model"]
    with pytest.raises(InputError, match="No images in"):
        export_and_compare(edges_model, ("onnx",), "int8", tmp_path / "x", edges_model)


def test_images_for_a_vae_are_rejected(trained_cvae, tmp_path):
    with pytest.raises(InputError, match="only with a UNet; .* compared on mnist"):
        export_and_compare(
            trained_cvae[1]["saved_model"], ("onnx",), "none", tmp_path, tmp_path
        )


@pytest.mark.slow
def test_vae_is_compared_on_its_data_set(trained_cvae, tmp_path):
    rows = export_and_compare(
        trained_cvae[1]["saved_model"], ("saved_model",), "none", tmp_path / "out"
    )
    assert rows["saved_model"]["largest_difference"] < 1e-5
    assert "mean_iou" not in rows["saved_model"]


def test_int8_is_calibrated_on_training_images_and_float32_is_not(
    trained, tmp_path, monkeypatch
):
    calibrations = []

    def export_to(runtime, folder, out, calibration):
        calibrations.append(calibration)
        raise InputError("Enough.")

    monkeypatch.setattr(compare, "export_to", export_to)
    monkeypatch.setattr(compare, "_speeds", lambda runs, inputs: {})
    model = trained[1]["saved_model"]
    for quantize in ("none", "int8"):
        export_and_compare(model, ("onnx",), quantize, tmp_path / quantize)
    float32, int8 = calibrations
    assert float32 is None and len(int8) == 64
    assert int8[0]["image"].shape == (1, 32, 32, 3)


def test_full_disk_is_not_reported_as_the_model_s_fault(monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, DISK_FULL)

    monkeypatch.setitem(RUNTIMES, "onnx", RUNTIMES["onnx"]._replace(load=write))
    with pytest.raises(OSError, match=DISK_FULL):
        load_from("onnx", "model.onnx")
