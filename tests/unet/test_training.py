"""Training: the loss falls, what a run promises is there, errors come early."""

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
from train_tf.errors import InputError
from train_tf.run import task as training
from unet_tf.config import UNetConfig
from unet_tf.data import PET_CLASSES, load_data
from unet_tf.losses import LOSSES
from unet_tf.report import metrics_of
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


def test_run_folder_holds_what_it_promises(trained):
    config, results, _ = trained
    names = {path.name for path in config.run_folder.iterdir()}
    assert names == {
        ".lock",
        "checkpoints",
        "config.json",
        "curves.png",
        "history.csv",
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


def test_floors_stand_beside_the_results(trained):
    _, results, _ = trained
    everywhere = results["baseline_majority_class"]
    assert everywhere["accuracy"] == pytest.approx(0.595, abs=0.01)
    assert everywhere["mean_iou"] == pytest.approx(0.198, abs=0.005)
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


def test_screen_shows_a_line_an_epoch_the_table_and_where_to_look(trained):
    _, results, output = trained
    lines = [line for line in output.splitlines() if line.startswith("Epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    for name in ("loss", "validation loss", "accuracy", "mean IoU"):
        assert name in lines[0]
    assert "| test, 298 photographs " in output
    assert "tensorboard --logdir" in output
    assert f"predict_unet.py --model {results['saved_model']}" in output


def test_same_seed_gives_the_same_figures_also_without_a_report(trained, tmp_path):
    config, results, _ = trained
    again = dataclasses.replace(
        config, runs_dir=tmp_path, saved_models_dir=tmp_path / "saved_models"
    )
    best = training.best_value(again, UNetTask)
    assert best == results["validation"]["mean_iou"] > 0
    assert history(again) == history(config)
    rows = csv.DictReader((again.run_folder / "history.csv").open())
    assert best == max(float(row["val_mean_iou"]) for row in rows)
    assert not again.saved_models_dir.exists()


def test_resuming_a_complete_run_tells_its_results_and_changes_nothing(trained, capsys):
    config, results, output = trained
    before = {x: x.stat().st_mtime_ns for x in config.saved_models_dir.rglob("*")}
    again = train(dataclasses.replace(config, resume=True))
    assert again == json.loads(json.dumps(results))
    said = capsys.readouterr().out
    assert "complete after epoch 2" in said and output.split("minutes")[1] in said
    after = {x: x.stat().st_mtime_ns for x in config.saved_models_dir.rglob("*")}
    assert before == after


def test_minutes_of_a_resumed_run_are_those_of_all_its_parts(extended):
    assert 25 < extended[1]["minutes"] < 35  # its first two epochs say 25


def test_best_epoch_is_what_lands_in_saved_models(extended):
    config, results = extended
    of_epochs = [row["val_mean_iou"] for row in results["history"]]
    assert results["best_epoch"] < 3 and of_epochs[2] != min(of_epochs)
    validation = load_data(config).validation
    model = tf.saved_model.load(results["saved_model"]).signatures["serving_default"]
    masks = model(image=tf.constant(validation.photos / 255, tf.float32))["mask"]
    figures = metrics_of(validation.masks[..., 0], masks.numpy(), PET_CLASSES)
    assert figures["mean_iou"] == pytest.approx(min(of_epochs), abs=1e-3)
    assert abs(figures["mean_iou"] - of_epochs[2]) > 1e-3


def test_precision_is_kept_when_a_run_begins(tmp_path):
    kept = {}
    run = SimpleNamespace(keep=lambda name, content: kept.update({name: content}))
    keras.config.set_dtype_policy("mixed_bfloat16")
    training._keep(run, SimpleNamespace(split={"train": 1}))
    assert kept["precision.json"] == {"precision": "bfloat16"}
    assert kept["split.json"] == {"train": 1}


def test_resumed_run_keeps_the_precision_that_it_began_with(
    trained, tmp_path, monkeypatch
):
    config = dataclasses.replace(
        trained[0], precision="auto", runs_dir=tmp_path, resume=True
    )
    shutil.copytree(trained[0].run_folder, config.run_folder)
    began = json.loads((config.run_folder / "config.json").read_text())
    (config.run_folder / "config.json").write_text(
        json.dumps(began | {"precision": "auto"})
    )
    monkeypatch.setattr(devices, "is_good_at_bfloat16", lambda: False)
    for precision in ("bfloat16", "float32"):
        file = config.run_folder / "precision.json"
        file.write_text(json.dumps({"precision": precision}))
        training.best_value(config, UNetTask)
        policy = keras.config.dtype_policy().name
        assert policy.removeprefix("mixed_") == precision

    file.write_text('{"precision": 3}')
    with pytest.raises(InputError, match=f"float32, bfloat16.* in {file}. Received: 3"):
        training.best_value(config, UNetTask)


def test_run_that_is_there_is_refused_before_data_are_read(trained, monkeypatch):
    config, *_ = trained
    monkeypatch.setattr(UNetTask, "load", pytest.fail)
    with pytest.raises(InputError, match="There is a run in .*--resume"):
        train(config)
    other = dataclasses.replace(config, resume=True, filters=3)
    with pytest.raises(InputError, match="--filters: 2 before, 3 now"):
        train(other)


@pytest.mark.parametrize(
    ("change", "said"),
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
def test_worker_with_other_options_or_data_is_refused(change, said, tiny, monkeypatch):
    chief = SimpleNamespace(config=tiny, split={"train": ["cat"]})
    sent = []

    def from_chief(own, strategy):
        sent.append(own)
        return sent[0]

    monkeypatch.setattr(training.cluster, "from_chief", from_chief)
    training._check_same_for_all(chief, None)
    split = {"train": ["dog"]} if change.pop("data", None) else chief.split
    config = SimpleNamespace(**vars(tiny) | change)
    monkeypatch.setattr(training, "to_dict", lambda config: {**vars(config)})
    worker = SimpleNamespace(config=config, split=split)
    if said is None:
        training._check_same_for_all(worker, None)
    else:
        with pytest.raises(InputError, match=said):
            training._check_same_for_all(worker, None)


@pytest.mark.parametrize(("done", "advice"), [(9, "--epochs"), (4, "--patience")])
def test_complete_run_says_what_extends_it(done, advice, monkeypatch, capsys):
    results = {"test": 1}
    run = SimpleNamespace(
        is_complete=True, results=results, folder="", epochs_done=done
    )
    config = SimpleNamespace(epochs=9)
    task = SimpleNamespace(config=config, parameters_of=lambda model: 0)
    monkeypatch.setattr(training, "_keep", lambda *_: None)
    monkeypatch.setattr(training, "_tell", lambda *_: None)
    assert training._carry_out(task, None, run, 0) == results
    assert f"after epoch {done}; {advice} extends it" in capsys.readouterr().out


def test_resuming_with_other_photographs_is_refused(trained_on_own, tmp_path):
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
    with pytest.raises(InputError, match="other data than now: its train"):
        train(
            dataclasses.replace(
                config,
                images=images,
                masks=masks,
                runs_dir=tmp_path / "runs",
                resume=True,
            )
        )


def test_own_photographs_are_learnt(trained_on_own):
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


def test_nothing_is_made_when_the_data_is_not_in_order(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=8)
    (images / "3.png").write_bytes(b"broken")
    config = dataclasses.replace(tiny_config(tmp_path), images=images, masks=masks)
    with pytest.raises(InputError, match="3.png"):
        train(config)
    assert not config.runs_dir.exists() and not config.saved_models_dir.exists()


def test_picture_too_large_for_memory_is_refused_before_anything_is_made(tmp_path):
    images, masks = write_photos_and_masks(tmp_path, count=8)
    config = UNetConfig(
        images=images,
        masks=masks,
        image_size=512,
        batch_size=50_000,
        runs_dir=tmp_path / "runs",
    )
    with pytest.raises(InputError, match="Make the pictures, the batch or the network"):
        train(config)
    assert not config.runs_dir.exists()


def test_best_figure_of_a_run_that_ended_is_looked_up(trained, tmp_path, monkeypatch):
    config, results, _ = trained
    shutil.copytree(config.runs_dir, tmp_path / "runs")
    again = dataclasses.replace(config, runs_dir=tmp_path / "runs", resume=True)
    monkeypatch.setattr(training, "fit", None)  # it is not called
    reached = training.best_value(again, UNetTask)
    assert reached == results["validation"]["mean_iou"]


def test_data_are_read_again_only_if_they_differ(tiny, monkeypatch):
    first = UNetTask(tiny)
    other = dataclasses.replace(tiny, loss="ce", epochs=9)
    assert UNetTask(other, first).data is first.data
    assert UNetTask(dataclasses.replace(tiny, seed=5), first).data is not first.data


class Scores:
    """Says class 1 where a photograph is bright, less surely in its right half."""

    sizes = []

    def predict(self, images, batch_size, verbose):
        self.sizes.append(len(images))
        bright = images.mean(-1, keepdims=True) * 2 - 1
        sure = np.linspace(9, 0.1, images.shape[2])[:, None]
        return np.concatenate([-bright * sure, bright * sure], axis=-1)


def test_photographs_are_predicted_batch_by_batch_and_mirrored_with_the_others():
    photos = np.zeros((5, 4, 4, 3), "uint8")
    photos[3:, :, 2:] = 255
    model = Scores()
    for mirror in (False, True):
        ids = predict_ids(model, photos, 2, mirror)
        np.testing.assert_array_equal(ids, photos[..., 0] // 255)
    assert model.sizes == [2, 2, 1] + [2, 2, 2, 2, 1, 1]


def test_mirrored_photographs_count_as_much_as_the_others():
    class Left:  # class 1 where it is left in what it sees, and surely so
        def predict(self, images, batch_size, verbose):
            score = np.where(np.arange(images.shape[2]) == 0, 9.0, -1.0)
            score = np.broadcast_to(score, images.shape[:-1])
            return np.stack([-score, score], axis=-1)

    photos = np.zeros((1, 1, 3, 3), "uint8")
    assert predict_ids(Left(), photos).tolist() == [[[1, 0, 0]]]
    both = predict_ids(Left(), photos, mirror=True)
    assert both.tolist() == [[[1, 0, 1]]]
