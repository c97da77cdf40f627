"""Training: the loss falls, the run folder is complete, errors come early."""

import contextlib
import csv
import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import tiny_config, write_photos_and_masks

from train_tf import devices
from train_tf.data.datasets import DATASETS
from train_tf.errors import InputError
from train_tf.run import training
from unet_tf.config import UNetConfig
from unet_tf.data import load_data
from unet_tf.evaluation import metrics_of
from unet_tf.losses import LOSSES
from unet_tf.training import UNetTask, build, compile_model, predict_ids, train


def history(config):
    [state] = (config.run_folder / "checkpoints").glob(f"epoch-*{config.epochs}/*.json")
    return json.loads(state.read_text())["history"]


def test_loss_falls_and_results_agree_with_the_history(trained):
    config, results, _ = trained
    rows = history(config)
    assert rows[-1]["loss"] < rows[0]["loss"]
    best = max(rows, key=lambda row: row["val_mean_iou"])
    assert results["best_epoch"] == best["epoch"]
    assert results["validation"]["mean_iou"] == best["val_mean_iou"]
    assert results["images"] == {"train": 256, "validation": 45, "test": 298}
    assert results["test"].keys() == {
        "accuracy",
        "mean_iou",
        "iou_pet",
        "iou_background",
        "iou_outline",
    }


def test_run_folder_is_complete(trained):
    config, results, _ = trained
    names = {path.name for path in config.run_folder.iterdir()}
    assert names == {
        ".lock",
        "checkpoints",
        "config.json",
        "curves.png",
        "history.csv",
        "model.keras",
        "precision.json",
        "predictions.png",
        "results.json",
        "split.json",
        "tensorboard",
    }
    saved = json.loads((config.run_folder / "results.json").read_text())
    assert saved == json.loads(json.dumps(results))
    for name in ("curves.png", "predictions.png"):
        with Image.open(config.run_folder / name) as picture:
            assert picture.width > 900


def test_results_hold_baselines(trained):
    _, results, _ = trained
    majority = results["baseline_majority_class"]
    assert majority["accuracy"] == pytest.approx(0.595, abs=0.01)
    assert majority["mean_iou"] == pytest.approx(0.198, abs=0.005)
    by_position = results["baseline_positional_prior"]
    assert by_position["accuracy"] == pytest.approx(0.690, abs=0.01)


def test_saved_model_answers_for_any_batch_and_size(trained):
    config, results, _ = trained
    assert results["saved_model"] == str(config.saved_models_dir / "pets" / "1")
    signature = tf.saved_model.load(results["saved_model"]).signatures[
        "serving_default"
    ]
    for shape in ((1, 32, 32, 3), (3, 50, 21, 3)):
        image = tf.constant(np.random.rand(*shape), tf.float32)
        answer = signature(image=image)
        assert answer.keys() == {"probabilities", "mask"}
        assert answer["mask"].shape == shape[:3] and answer["mask"].dtype == "uint8"
        assert answer["probabilities"].dtype == "float32"
        np.testing.assert_allclose(
            answer["probabilities"].numpy().sum(-1), 1, rtol=1e-5
        )
        np.testing.assert_array_equal(
            answer["mask"], answer["probabilities"].numpy().argmax(-1)
        )


def test_screen_shows_a_line_per_epoch_the_table_and_next_steps(trained):
    _, results, output = trained
    lines = [line for line in output.splitlines() if line.startswith("Epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    for name in ("loss", "validation loss", "accuracy", "mean IoU"):
        assert name in lines[0]
    assert "| test, 298 images " in output
    assert "| test, flip-averaged " in output and "| baseline: majority" in output
    assert "tensorboard --logdir" in output
    assert f"predict_unet.py --model {results['saved_model']}" in output


def test_same_seed_gives_the_same_metrics_also_without_a_report(trained, tmp_path):
    config, results, _ = trained
    again = dataclasses.replace(
        config, runs_dir=tmp_path, saved_models_dir=tmp_path / "saved_models"
    )
    best = training.train_for_score(again, UNetTask)
    assert best == results["validation"]["mean_iou"] > 0
    assert history(again) == history(config)
    rows = csv.DictReader((again.run_folder / "history.csv").open())
    assert best == max(float(row["val_mean_iou"]) for row in rows)
    assert not again.saved_models_dir.exists()


def test_resuming_a_complete_run_prints_its_results_and_changes_nothing(
    trained, capsys
):
    config, results, output = trained
    before = {x: x.stat().st_mtime_ns for x in config.saved_models_dir.rglob("*")}
    again = train(dataclasses.replace(config, resume=True))
    assert again == json.loads(json.dumps(results))
    printed = capsys.readouterr().out
    assert "complete after epoch 2" in printed
    assert output.split("minutes")[1] in printed
    after = {x: x.stat().st_mtime_ns for x in config.saved_models_dir.rglob("*")}
    assert before == after


def test_minutes_of_a_resumed_run_include_those_before(extended):
    assert 25 < extended[1]["minutes"] < 35  # its first two epochs say 25


def test_best_epoch_is_what_lands_in_saved_models(extended):
    config, results = extended
    of_epochs = [row["val_mean_iou"] for row in results["history"]]
    assert results["best_epoch"] < 3 and of_epochs[2] != min(of_epochs)
    validation = load_data(config).validation
    model = tf.saved_model.load(results["saved_model"]).signatures["serving_default"]
    masks = model(image=tf.constant(validation.images / 255, tf.float32))["mask"]
    names = DATASETS["oxford_iiit_pet"].class_names
    metrics = metrics_of(validation.masks[..., 0], masks.numpy(), names)
    assert metrics["mean_iou"] == pytest.approx(min(of_epochs), abs=1e-3)
    assert abs(metrics["mean_iou"] - of_epochs[2]) > 1e-3


def test_precision_is_saved_when_a_run_starts(tmp_path):
    saved = {}

    def write_or_verify(name, content):
        saved[name] = content

    run = SimpleNamespace(write_or_verify=write_or_verify)
    keras.config.set_dtype_policy("mixed_bfloat16")
    training._verify(run, SimpleNamespace(data_identity={"train": 1}))
    assert saved["precision.json"] == {"precision": "bfloat16"}
    assert saved["split.json"] == {"train": 1}


def test_resumed_run_keeps_its_precision(trained, tmp_path, monkeypatch):
    config = dataclasses.replace(
        trained[0], precision="auto", runs_dir=tmp_path, resume=True
    )
    shutil.copytree(trained[0].run_folder, config.run_folder)
    options = json.loads((config.run_folder / "config.json").read_text())
    (config.run_folder / "config.json").write_text(
        json.dumps(options | {"precision": "auto"})
    )
    monkeypatch.setattr(devices, "has_bfloat16", lambda: False)
    for precision in ("bfloat16", "float32"):
        file = config.run_folder / "precision.json"
        file.write_text(json.dumps({"precision": precision}))
        training.train_for_score(config, UNetTask)
        policy = keras.config.dtype_policy().name
        assert policy.removeprefix("mixed_") == precision

    file.write_text('{"precision": 3}')
    with pytest.raises(InputError, match=f"float32, bfloat16.* in {file}. Received: 3"):
        training.train_for_score(config, UNetTask)


def test_existing_run_is_rejected_before_data_is_read(trained, monkeypatch):
    config, *_ = trained
    monkeypatch.setattr(UNetTask, "load", pytest.fail)
    with pytest.raises(InputError, match="There is a run in .*--resume"):
        train(config)
    other = dataclasses.replace(config, resume=True, filters=3)
    with pytest.raises(InputError, match="--filters: 2 before, 3 now"):
        train(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "Received: --seed 1 instead of 0$"),
        (
            {"loss": "ce", "batch_size": 4},
            "--loss ce instead of dice, --batch-size 4",
        ),
        ({"data": 1}, "Received: other data$"),
        ({"runs_dir": "there", "images": Path("of it")}, None),
    ],
)
def test_worker_with_other_options_or_data_is_rejected(
    change, message, tiny, monkeypatch
):
    chief = SimpleNamespace(config=tiny, data_identity={"train": ["cat"]})
    sent = []

    def from_chief(content):
        sent.append(content)
        return sent[0]

    workers = SimpleNamespace(from_chief=from_chief)
    training._check_same_on_all_workers(chief, workers)
    split = {"train": ["dog"]} if change.pop("data", None) else chief.data_identity
    config = SimpleNamespace(**vars(tiny) | change)
    monkeypatch.setattr(training, "to_dict", lambda config: {**vars(config)})
    worker = SimpleNamespace(config=config, data_identity=split)
    if message is None:
        training._check_same_on_all_workers(worker, workers)
    else:
        with pytest.raises(InputError, match=message):
            training._check_same_on_all_workers(worker, workers)


@pytest.mark.parametrize(("done", "advice"), [(9, "--epochs"), (4, "--patience")])
def test_complete_run_says_what_extends_it(done, advice, monkeypatch, capsys):
    workers = SimpleNamespace(is_chief=True, watched=contextlib.nullcontext)
    config = SimpleNamespace(epochs=9)
    task = SimpleNamespace(monitor="", mode="max", parameters_of=lambda model: 0)
    run = SimpleNamespace(
        config=config,
        workers=workers,
        is_complete=True,
        results={"test": 1},
        folder="",
        epochs_done=done,
    )
    monkeypatch.setattr(training, "_set_up", lambda config: workers)
    monkeypatch.setattr(training, "_prepare", lambda task, workers: (task, None))
    monkeypatch.setattr(training, "Run", lambda *_: contextlib.nullcontext(run))
    for name in ("check_run_folder", "_verify", "print_summary"):
        monkeypatch.setattr(training, name, lambda *_: None)
    assert training.train(config, lambda config: task) == run.results
    assert f"after epoch {done}; a larger {advice} extends" in capsys.readouterr().out


def test_resuming_with_other_images_is_rejected(trained_on_own, tmp_path):
    config, _ = trained_on_own
    images, masks = tmp_path / "images", tmp_path / "masks"
    shutil.copytree(config.images, images)
    shutil.copytree(config.masks, masks)
    for folder in (images, masks):
        (folder / "7.png").unlink()
    run_folder = tmp_path / "runs" / "own"
    shutil.copytree(config.run_folder, run_folder)
    saved = json.loads((run_folder / "config.json").read_text())
    saved.update(images=str(images), masks=str(masks))
    (run_folder / "config.json").write_text(json.dumps(saved))
    with pytest.raises(InputError, match="started with other data: its train"):
        train(
            dataclasses.replace(
                config,
                images=images,
                masks=masks,
                runs_dir=tmp_path / "runs",
                resume=True,
            )
        )


def test_own_images_are_learnt(trained_on_own):
    config, results = trained_on_own
    assert results["images"] == {"train": 28, "validation": 6, "test": 6}
    assert results["test"]["mean_iou"] > 0.85


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_in_training(loss, tiny):
    config = dataclasses.replace(tiny, loss=loss)
    model = build(config, (16, 16, 3), 2)
    compile_model(model, config, 10, ("dark", "bright"))
    model.run_eagerly = True  # a few steps: quicker than to compile them
    masks = np.random.default_rng(0).integers(0, 2, (8, 16, 16))
    images = np.repeat(masks[..., None], 3, -1).astype("float32")
    first, *_, last = model.fit(images, masks, epochs=6, verbose=0).history["loss"]
    assert last < first


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_learning_rate_follows_its_schedule(schedule, tiny):
    config = dataclasses.replace(tiny, schedule=schedule, epochs=10)
    model = build(config, (32, 32, 3), 3)
    compile_model(model, config, 10, ("a", "b", "c"))
    rates = []
    for step in (0, 2, 5, 50, 100):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    if schedule == "constant":
        assert rates == pytest.approx([0.01] * 5)
    else:
        assert rates[0] < rates[1] < rates[2] == pytest.approx(0.01)
        assert rates[2] > rates[3] > rates[4] == pytest.approx(0.01 * 0.005)


def test_nothing_is_written_if_the_data_is_invalid(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=8)
    (images / "3.png").write_bytes(b"broken")
    config = dataclasses.replace(tiny_config(tmp_path), images=images, masks=masks)
    with pytest.raises(InputError, match="3.png"):
        train(config)
    assert not config.runs_dir.exists() and not config.saved_models_dir.exists()


def test_image_too_large_for_memory_is_rejected_before_anything_is_written(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=8)
    config = UNetConfig(
        images=images,
        masks=masks,
        image_size=512,
        batch_size=50_000,
        runs_dir=tmp_path / "runs",
    )
    with pytest.raises(InputError, match="Use smaller images, a smaller batch or"):
        train(config)
    assert not config.runs_dir.exists()


def test_best_value_of_a_complete_run_is_read(trained, tmp_path, monkeypatch):
    config, results, _ = trained
    shutil.copytree(config.runs_dir, tmp_path / "runs")
    again = dataclasses.replace(config, runs_dir=tmp_path / "runs", resume=True)
    monkeypatch.setattr(training, "fit", None)  # it is not called
    reached = training.train_for_score(again, UNetTask)
    assert reached == results["validation"]["mean_iou"]


def test_data_is_read_again_only_if_it_differs(tiny, monkeypatch):
    first = UNetTask(tiny)
    other = dataclasses.replace(tiny, loss="ce", epochs=9)
    assert UNetTask(other, first).data is first.data
    assert UNetTask(dataclasses.replace(tiny, seed=5), first).data is not first.data


class Scores:
    """Predicts class 1 where an image is bright, with less confidence to the right."""

    sizes = []

    def predict(self, images, batch_size, verbose):
        self.sizes.append(len(images))
        bright = images.mean(-1, keepdims=True) * 2 - 1
        confidence = np.linspace(9, 0.1, images.shape[2])[:, None]
        scores = bright * confidence
        return np.concatenate([-scores, scores], axis=-1)


def test_images_are_predicted_batch_by_batch_also_when_flip_averaged():
    images = np.zeros((5, 4, 4, 3), "uint8")
    images[3:, :, 2:] = 255
    model = Scores()
    for flip in (False, True):
        ids = predict_ids(model, images, 2, flip)
        np.testing.assert_array_equal(ids, images[..., 0] // 255)
    assert model.sizes == [2, 2, 1] + [2, 2, 2, 2, 1, 1]


def test_flipped_images_count_as_much_as_the_others():
    class Left:  # class 1 at the left of its input, with high confidence
        def predict(self, images, batch_size, verbose):
            score = np.where(np.arange(images.shape[2]) == 0, 9.0, -1.0)
            score = np.broadcast_to(score, images.shape[:-1])
            return np.stack([-score, score], axis=-1)

    images = np.zeros((1, 1, 3, 3), "uint8")
    assert predict_ids(Left(), images).tolist() == [[[1, 0, 0]]]
    both = predict_ids(Left(), images, flip=True)
    assert both.tolist() == [[[1, 0, 1]]]
