"""Runs: resuming gives the same weights, and existing runs are never overwritten."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import ROOT, BareConfig
from weight_files import assert_same_weights

from train_tf.errors import InputError
from train_tf.run.fit import fit
from train_tf.run.resumable_run import Run
from unet_tf.config import UNetConfig
from unet_tf.training import train

REPORT = {"epochs": 1, "best_epoch": 1, "minutes": 1.0, "test": {}, "images": {}}


class Task:
    """A small network with dropout, and data that depends on the epoch."""

    def __init__(self, folder, compiled=False, **options):
        self.config = BareConfig(folder / "run", **options)
        keras.utils.set_random_seed(7)
        self.model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        )
        # Run eagerly: faster than compiling for a few steps.
        self.model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=not compiled)
        self.run = Run(self.config, monitor="val_loss", mode="min")
        self.checkpoints = self.run.folder / "checkpoints"

    def train(self, spoil=None, callbacks=()):
        def batches(epochs, replicas):
            rows = [np.random.default_rng(epoch).random((6, 5)) for epoch in epochs]
            table = np.concatenate(rows).astype("float32")
            if spoil is not None and len(epochs) > 1:
                table[spoil] = np.nan
            dataset = tf.data.Dataset.from_tensor_slices((table[:, :4], table[:, 4:]))
            return dataset.batch(3)

        def validation(replicas):
            return batches(range(1), replicas)

        with self.run:
            fit(self.model, self.run, batches, 2, validation, 2, list(callbacks))
        return self


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.at == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.at = epoch + 1


def test_resumed_run_equals_one_that_was_not_stopped(tmp_path):
    whole = Task(tmp_path / "a", compiled=True).train().run
    with pytest.raises(KeyboardInterrupt):
        Task(tmp_path / "b", compiled=True).train(callbacks=[Stop(2)])
    resumed = Task(tmp_path / "b", compiled=True, resume=True)
    assert resumed.run.epochs_done == 1
    resumed.train()
    assert resumed.run.history == whole.history
    assert int(resumed.model.optimizer.iterations) == 6
    assert_same_weights(
        *(tmp_path / name / "run/checkpoints/epoch-0003" for name in ("a", "b"))
    )


def test_finished_run_can_be_extended(tmp_path):
    """With a constant learning rate, extending 2 epochs to 4 equals training for 4."""
    whole = Task(tmp_path / "a", epochs=4).train().run
    Task(tmp_path / "b", epochs=2).train()
    extended = Task(tmp_path / "b", epochs=4, resume=True).train().run
    assert [row["epoch"] for row in extended.history] == [1, 2, 3, 4]
    assert extended.history == whole.history


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    history = Task(tmp_path).train().run.history
    again = Task(tmp_path, resume=True).train().run
    assert again.history == history


def test_full_disk_ends_a_run_before_hdf5_crashes_on_it(tmp_path, monkeypatch):
    task = Task(tmp_path)
    free = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(OSError, match="No space left on device.*model.weights.h5"):
        task.train()
    assert not list(task.checkpoints.iterdir())
    monkeypatch.undo()
    assert Task(tmp_path, resume=True).train().run.epochs_done == 3


def test_run_that_is_there_is_not_overwritten(tmp_path):
    Task(tmp_path).train()
    before = {
        file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()
    }
    with pytest.raises(InputError, match="--resume.*--name"):
        Task(tmp_path)
    assert before == {file: file.read_bytes() for file in before}


def test_run_cannot_be_resumed_as_another(tmp_path):
    Task(tmp_path, seed=1).train()
    with pytest.raises(InputError, match="--seed: 1 before, 2 now"):
        Task(tmp_path, seed=2, resume=True)


def test_what_of_the_data_is_another_is_named(tmp_path):
    run = Task(tmp_path).run
    run.write_or_verify("split.json", {"train": ["a", "b"], "test": ["c"]})
    run.write_or_verify("split.json", {"train": ["a", "b"], "test": ["c"]})
    with pytest.raises(InputError, match="its test differ from those in .*split.json"):
        run.write_or_verify("split.json", {"train": ["a", "b"], "test": ["d"]})


def test_last_two_and_best_epoch_are_kept_and_told_apart(tmp_path):
    task = Task(tmp_path, epochs=5).train()
    folders = {folder.name for folder in task.checkpoints.iterdir()}
    losses = [row["val_loss"] for row in task.run.history]
    assert task.run.best_epoch == 1 + int(np.argmin(losses))
    assert folders == {f"epoch-{task.run.best_epoch:04d}", "epoch-0004", "epoch-0005"}
    task.run.load_best(task.model)
    rows = np.random.default_rng(0).random((6, 5)).astype("float32")
    loss = task.model.evaluate(rows[:, :4], rows[:, 4:], verbose=0)
    assert loss == pytest.approx(min(losses), rel=1e-5)


def test_best_figure_is_that_of_the_epochs_asked_for(tmp_path):
    task = Task(tmp_path, epochs=4)
    with task.run:
        for loss in (math.nan, 3.0, 2.0, 1.0):
            task.run.save(task.model, {"loss": loss, "val_loss": loss}, (1.0, 2.0))
    assert task.run.best_value == 1.0
    with Task(tmp_path, epochs=3, resume=True).run as shorter:
        assert shorter.best_value == 2.0
    with Task(tmp_path, epochs=1, resume=True).run as shortest:
        assert math.isnan(shortest.best_value)


def test_history_is_written_for_people(tmp_path):
    run = Task(tmp_path).train().run
    lines = (run.folder / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss"
    assert [float(cell) for cell in lines[2].split(",")] == list(
        run.history[1].values()
    )


def test_history_that_a_kill_left_short_is_written_again(tmp_path):
    run = Task(tmp_path).train().run
    whole = (run.folder / "history.csv").read_text()
    (run.folder / "history.csv").write_text(whole[: whole[:-1].rindex("\n") + 1])
    Task(tmp_path, resume=True)
    assert (run.folder / "history.csv").read_text() == whole


def test_folder_that_is_no_epoch_is_left_alone(tmp_path):
    run = Task(tmp_path).train().run
    (run.folder / "checkpoints" / "epoch-0001.bak").mkdir()
    again = Task(tmp_path, resume=True).run
    assert again.epochs_done == run.epochs_done
    assert (run.folder / "checkpoints" / "epoch-0001.bak").is_dir()


def test_patience_counts_across_a_resumption(tmp_path):
    task = Task(tmp_path, epochs=9, patience=2, resume=True)
    for loss in (3.0, 1.0, 2.0):
        task.run.save(task.model, {"loss": loss, "val_loss": loss}, (1.0, 2.0))
    assert task.run.best_epoch == 2 and not task.run.out_of_patience
    task.run.save(task.model, {"loss": 1.0, "val_loss": 1.0}, (1.0, 2.0))
    assert task.run.out_of_patience
    assert task.train().run.epochs_done == 4


def test_early_stopping_ends_a_run(tmp_path):
    task = Task(tmp_path, epochs=200, patience=1).train()
    assert task.run.epochs_done < 200
    assert task.run.epochs_done - task.run.best_epoch == 1


def test_broken_loss_ends_the_run_and_keeps_the_epochs_before(tmp_path):
    task = Task(tmp_path)
    with pytest.raises(InputError, match="loss became nan at step 2 of epoch 2"):
        task.train(spoil=9)
    assert [path.name for path in task.checkpoints.iterdir()] == ["epoch-0001"]
    saved = json.loads((task.checkpoints / "epoch-0001/state.json").read_text())
    assert all(math.isfinite(value) for value in saved["history"][0].values())


def test_memory_that_runs_out_is_told_in_a_sentence(tmp_path):
    class RunOut(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    with pytest.raises(InputError, match="Memory ran out"):
        Task(tmp_path).train(callbacks=[RunOut()])


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-10])


@pytest.mark.parametrize("spoil", [damage, cut_short, Path.unlink])
@pytest.mark.parametrize("name", ["model.weights.h5", "state.json"])
def test_damaged_checkpoint_is_put_aside_and_the_one_before_goes_on(
    spoil, name, tmp_path, capsys
):
    whole = Task(tmp_path / "a").train()
    Task(tmp_path / "b", epochs=2).train()
    checkpoints = tmp_path / "b/run/checkpoints"
    spoil(checkpoints / "epoch-0002" / name)
    resumed = Task(tmp_path / "b", resume=True)
    assert resumed.run.epochs_done == 1
    assert "epoch 2 is damaged" in capsys.readouterr().out
    assert (checkpoints / "damaged-epoch-0002").exists()
    resumed.train()
    assert resumed.run.history == whole.run.history
    assert_same_weights(
        checkpoints / "epoch-0003", tmp_path / "a/run/checkpoints/epoch-0003"
    )


def test_run_whose_checkpoints_are_all_damaged_is_not_begun_anew_by_itself(tmp_path):
    task = Task(tmp_path, epochs=2).train()
    for file in task.checkpoints.glob("*/model.weights.h5"):
        damage(file)
    with pytest.raises(InputError, match="Expected an intact checkpoint in"):
        Task(tmp_path, epochs=3, resume=True)


def test_weights_damaged_after_the_run_was_opened_are_rejected(tmp_path):
    task = Task(tmp_path, epochs=2).train()
    damage(
        task.run.folder
        / f"checkpoints/epoch-{task.run.best_epoch:04d}/model.weights.h5"
    )
    with pytest.raises(InputError, match="epoch-0001 is damaged"):
        task.run.load_best(task.model)


def test_run_that_is_going_on_is_left_alone(tmp_path):
    script = (
        "import filelock, sys, time; lock = filelock.FileLock(sys.argv[1]);"
        "lock.acquire(); print('held', flush=True); time.sleep(600)"
    )
    (tmp_path / "run").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "run/.lock"], stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="in use by another process"):
            Task(tmp_path, resume=True)
        assert list((tmp_path / "run").iterdir()) == [tmp_path / "run/.lock"]
    finally:
        other.kill()
        other.wait()
    Task(tmp_path, resume=True)  # a killed process holds nothing


def test_leftovers_of_a_killed_process_are_cleared_away(tmp_path):
    run = Task(tmp_path).train().run
    for place in (run.folder, run.folder / "checkpoints"):
        (place / ".partial-1-epoch-0009").mkdir()
    Task(tmp_path, resume=True)
    assert not list(run.folder.rglob(".partial-*"))


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_a_training_ends_with_the_same_weights(
    tmp_path, monkeypatch
):
    config = UNetConfig(filters=2, depth=2, image_size=32, epochs=4, name="tiny")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    train(config)

    monkeypatch.chdir(tmp_path / "killed")
    options = ["--filters=2", "--depth=2", "--image-size=32", "--epochs=4"]
    killed = subprocess.Popen(
        [sys.executable, ROOT / "scripts/train_unet.py", *options, "--name=tiny"],
        stdout=subprocess.DEVNULL,
    )
    checkpoints = tmp_path / "killed/runs/tiny/checkpoints"
    deadline = time.monotonic() + 300
    while not (checkpoints / "epoch-0001").exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (checkpoints / "epoch-0003").exists()

    train(dataclasses.replace(config, resume=True))
    last = "runs/tiny/checkpoints/epoch-0004"
    assert_same_weights(tmp_path / "whole" / last, tmp_path / "killed" / last)
    both = [tmp_path / name / "runs/tiny/history.csv" for name in ("whole", "killed")]
    assert both[0].read_text() == both[1].read_text()


def test_report_of_an_earlier_end_is_not_taken_for_the_present_one(tmp_path):
    run = Task(tmp_path, epochs=2).train().run
    results = {**REPORT, "epochs": 2, "saved_model": str(tmp_path)}
    run.write_results(results)
    assert Task(tmp_path, epochs=2, resume=True).run.results == results
    Task(tmp_path, epochs=3, resume=True).train()
    assert Task(tmp_path, epochs=3, resume=True).run.results is None


@pytest.mark.parametrize("name", ["epochs", "best_epoch", "test", "saved_model"])
def test_report_that_lacks_something_is_none(name, tmp_path):
    run = Task(tmp_path, epochs=2).train().run
    results = {**REPORT, "epochs": 2, "saved_model": str(tmp_path)}
    results.pop(name)
    run.write_results(results)
    assert Task(tmp_path, epochs=2, resume=True).run.results is None


def test_report_is_json_for_everyone(tmp_path):
    run = Task(tmp_path, epochs=1).train().run
    figures = {"iou": [1.0, math.nan], "of": {"absent": math.nan, "none": None}}
    run.write_results({**REPORT, "test": figures})
    plain = {"iou": [1.0, None], "of": {"absent": None, "none": None}}
    assert run.results["test"] == plain
    text = (run.folder / "results.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["test"] == plain


def test_no_epoch_with_a_number_is_said(tmp_path):
    task = Task(tmp_path, epochs=1)
    with task.run:
        task.run.save(task.model, {"loss": 1.0, "val_loss": math.nan}, (1.0, 2.0))
        with pytest.raises(InputError, match="val_loss is not a number in any"):
            task.run.load_best(task.model)


def test_seconds_of_all_epochs_are_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Task(tmp_path).train(callbacks=[Stop(2)])
    run = Task(tmp_path, resume=True).train().run
    assert len(run.seconds) == run.epochs_done
    assert all(0 < training <= whole < 60 for training, whole in run.seconds)


def test_checkpoints_go_by_their_number(tmp_path):
    task = Task(tmp_path, epochs=10_001)
    with task.run:
        figures = {"loss": 1.0, "val_loss": 1.0}
        task.run.history = [{"epoch": n, **figures} for n in range(1, 9_999)]
        for _ in range(3):
            task.run.save(task.model, figures, (1.0, 2.0))
    assert Task(tmp_path, epochs=10_001, resume=True).run.epochs_done == 10_001


@pytest.mark.parametrize("part", ["history", "seconds"])
def test_state_with_another_figure_is_noticed(part, tmp_path, capsys):
    run = Task(tmp_path).train().run
    file = run.folder / f"checkpoints/epoch-{run.epochs_done:04d}/state.json"
    state = json.loads(file.read_text())
    if part == "history":
        state["history"][0]["loss"] += 1
    else:
        state["seconds"][0][0] += 1
    file.write_text(json.dumps(state))
    assert Task(tmp_path, resume=True).run.epochs_done == run.epochs_done - 1
    assert f"epoch {run.epochs_done} is damaged" in capsys.readouterr().out


def test_epoch_that_was_not_written_does_not_count(tmp_path, monkeypatch, capsys):
    task = Task(tmp_path)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(task.run._checkpoints, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        task.train()
    assert task.run.history == task.run.seconds == [] and not task.run.best_epoch
    assert "Stopped; 0 of 3 epochs are saved." in capsys.readouterr().err


def test_report_whose_saved_model_is_gone_is_made_again(tmp_path):
    run, place = Task(tmp_path, epochs=1).train().run, tmp_path / "saved_model"
    run.write_results({**REPORT, "saved_model": str(place)})
    assert Task(tmp_path, epochs=1, resume=True).run.results is None
    place.mkdir()
    assert Task(tmp_path, epochs=1, resume=True).run.results["epochs"] == 1
