"""A run: its folder, its history, and going on where it stopped.

runs/<name>/ holds config.json, precision.json, split.json, history.csv, results.json
and pictures, tensorboard/ for TensorBoard, and checkpoints/ of the last two epochs and
the best one.
"""

import errno
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf

from train_tf.command_line import to_dict
from train_tf.config import WHERE_AND_HOW
from train_tf.distributed import cluster, replicas
from train_tf.errors import InputError, Terminated
from train_tf.files import FULL, as_csv, read_json, write_json, write_text
from train_tf.run.checkpoints import Checkpoints
from train_tf.run.folder import keep, take

# What may differ between a run and its resumption.
FREE_TO_CHANGE = WHERE_AND_HOW | {"epochs", "patience"}

# What a report has at the least.
TOLD = {"epochs", "best_epoch", "minutes", "test", "images", "saved_model"}


class Run:
    """The folder of a run and what has been reached in it.

    Of several workers only the chief reads and writes the folder. It is taken for this
    process until the end of a `with`.

    Args:
        config: a config dataclass with `run_folder` and `resume`.
        monitor: the figure in the history that the best epoch has most or least of.
        mode: "max" or "min".
        strategy: the `tf.distribute.Strategy` that the run is trained by.

    Attributes:
        folder: where everything goes.
        history: a list of dicts, one an epoch: "epoch", counted from 1, and figures.
        seconds: for each epoch, how long its training took, and all of it.
        results: what the last report of the run said, a dict; None without one.
        is_chief: whether this process writes the folder.

    Raises:
        InputError: if the folder is there and shall not be resumed, is resumed with
            options that would make it another run, is in use, or has no checkpoint that
            is whole.
    """

    def __init__(self, config, monitor, mode="max", strategy=None):
        self.config, self.monitor, self.mode = config, monitor, mode
        self.strategy = strategy or tf.distribute.get_strategy()
        self.is_chief = cluster.is_chief(self.strategy)
        self.folder = config.run_folder
        reached = self._open() if self.is_chief else None
        reached = cluster.from_chief(json.dumps(reached).encode(), self.strategy)
        self.history, self.seconds, self._kept, self.results = json.loads(reached)

    def _open(self):
        """Take the folder for this process; gives what was reached in it."""
        config = self.config
        self._lock = take(self.folder, to_dict(config), config.resume, FREE_TO_CHANGE)
        try:
            self._checkpoints = Checkpoints(self.folder / "checkpoints")
            kept, history = self._checkpoints, self._checkpoints.history()
            if history:  # a kill may have come between both
                write_text(self.folder / "history.csv", as_csv(history))
            return history, kept.seconds(), kept.epochs, self._results_of(history)
        except BaseException:
            self._lock.release()
            raise

    def _results_of(self, history):
        """The report that goes with a history; None if it is of another, is broken or
        lacks something, or its SavedModel is gone."""
        try:
            results = read_json(self.folder / "results.json")
        except (FileNotFoundError, InputError):
            return None
        told = results.keys() >= TOLD and results["epochs"] == len(history)
        return results if told and Path(str(results["saved_model"])).is_dir() else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_chief:
            self._lock.release()

    @property
    def epochs_done(self):
        """How many epochs the run has behind it."""
        return len(self.history)

    @property
    def best_epoch(self):
        """The epoch with the best monitored figure, counted from 1; 0 if none."""
        return self._best_of(self._kept, self.history)

    @property
    def best_value(self):
        """The best of the monitored figures until the config's last epoch."""
        epochs = min(self.config.epochs, self.epochs_done)
        best = self._best_of(range(1, epochs + 1), self.history)
        return self.history[best - 1][self.monitor] if best else math.nan

    def _best_of(self, epochs, history):
        best = max if self.mode == "max" else min
        rows = [history[epoch - 1] for epoch in epochs]
        rows = [row for row in rows if not math.isnan(row[self.monitor])]
        return best(rows, key=lambda row: row[self.monitor])["epoch"] if rows else 0

    @property
    def out_of_patience(self):
        """Whether no epoch got better for as many epochs as the config allows."""
        patience = self.config.patience
        return bool(patience) and self.epochs_done - self.best_epoch >= patience

    @property
    def is_complete(self):
        """Whether there is no epoch left to train."""
        return self.epochs_done >= self.config.epochs or self.out_of_patience

    def keep(self, name, content):
        """Write down what must be the same when the run is resumed.

        Args:
            name: the JSON file in the run's folder.
            content: a dict.

        Raises:
            InputError: if the run was started with another content.
        """
        if self.is_chief:
            keep(self.folder / name, content)

    def save(self, model, figures, seconds):
        """Keep the epoch that has just ended: weights, optimizer, history.

        Args:
            model: the compiled `keras.Model`.
            figures: name to number.
            seconds: how long its training took, and all of it.
        """
        figures = {name: float(value) for name, value in sorted(figures.items())}
        epoch = self.epochs_done + 1
        history = [*self.history, {"epoch": epoch, **figures}]
        of_epochs = [*self.seconds, list(seconds)]
        kept = [*self._kept, epoch]
        # The one before the last is for the day when the last is damaged.
        kept = sorted({*kept[-2:], self._best_of(kept, history) or epoch})
        if self.is_chief:
            self._checkpoints.save(model, history, of_epochs, kept)
            write_text(self.folder / "history.csv", as_csv(history))
        self.history, self.seconds, self._kept = history, of_epochs, kept

    def write_results(self, results):
        """Keep the report of the run, a dict for JSON; NaN becomes None there."""
        self.results = _without_nan(results)
        write_json(self.folder / "results.json", self.results)

    def load_last(self, model):
        """Put the weights and the optimizer of the last saved epoch into a model."""
        self._load(model, self.epochs_done)

    def load_best(self, model):
        """Put the weights of the best epoch into a model.

        Raises:
            InputError: if there is none.
        """
        if not self.best_epoch:
            raise InputError(
                f"{self.monitor} is no number in any of the epochs that were kept, so "
                "none is the best. Try a smaller --learning-rate, and look at the data."
            )
        self._load(model, self.best_epoch)

    def _load(self, model, epoch):
        with self.strategy.scope():
            # A new optimizer has no slots yet to put the saved ones into.
            model.optimizer.build(model.trainable_variables)
        content = self._checkpoints.weights(epoch) if self.is_chief else b""
        content = cluster.from_chief(content, self.strategy)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.weights.h5"
            file.write_bytes(content)
            model.load_weights(file)


def fit(model, run, batches, steps, validation, validation_steps, callbacks):
    """Train until the config's last epoch, from where the run stands.

    Args:
        model: a `keras.Model`, built and compiled in the scope of the run's strategy.
        run: a `Run`.
        batches: function from a `range` of epochs and `train_tf.data.pipeline.Replicas` to
            their batches, one after another.
        steps: batches an epoch.
        validation: function from `Replicas` to the batches that each epoch ends with.
        validation_steps: how many they are.
        callbacks: `keras.callbacks.Callback`s that see each epoch after it was saved;
            of several workers, only the chief has them.

    Raises:
        InputError: if the loss is no number any more, or memory runs out.
    """
    if run.is_complete:
        return
    epochs = range(run.epochs_done, run.config.epochs)
    replicas.prepare_to_fit(model)
    with run.strategy.scope():
        # In the first step it would have TensorFlow trace that step twice.
        model.optimizer.build(model.trainable_variables)
    if run.epochs_done:
        run.load_last(model)
        print(f"Resumed after epoch {run.epochs_done}.")
    seeding = _SeedEveryEpoch(run.config.seed)
    keeping = [seeding, _StopIfNotFinite(), _KeepEpochs(run, steps)]
    try:
        model.fit(
            replicas.spread(lambda those: batches(epochs, those), run.strategy),
            steps_per_epoch=steps,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            validation_data=replicas.spread(validation, run.strategy),
            validation_steps=validation_steps,
            callbacks=keeping + (callbacks if run.is_chief else []),
            verbose=0,
            shuffle=False,  # the batches come shuffled
        )
    except (KeyboardInterrupt, Terminated):
        so_far = f"Stopped; {run.epochs_done} of {epochs.stop} epochs are kept."
        print(f"{so_far} Go on by --resume.", file=sys.stderr)
        raise
    except tf.errors.ResourceExhaustedError as error:
        if FULL in str(error):  # TensorBoard's files
            raise OSError(errno.ENOSPC, FULL, str(run.folder)) from error
        raise InputError(
            "Memory ran out in training; the epochs before are kept. Make the batch, "
            "the pictures or the network smaller."
        ) from error


class _KeepEpochs(keras.callbacks.Callback):
    def __init__(self, run, steps):
        super().__init__()
        self.run, self.steps = run, steps

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.steps:
            self.trained = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        ended = time.monotonic()
        seconds = (self.trained - self.started, ended - self.started)
        self.run.save(self.model, logs, seconds)
        if self.run.out_of_patience:
            self.model.stop_training = True


class _SeedEveryEpoch(keras.callbacks.Callback):
    """Makes what layers draw (dropout, sampling) follow from seed and epoch alone."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.name == "seed_generator_state"]
        for number, state in enumerate(states):
            state.assign([self.seed + number, epoch << 16])


class _StopIfNotFinite(keras.callbacks.Callback):
    """Ends the run before an epoch with a broken loss is kept."""

    def on_train_batch_end(self, batch, logs=None):
        cluster.WATCHDOG.note()
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"The loss became {logs['loss']} at step {batch + 1} of epoch "
                f"{self.epoch + 1}; the epochs before are kept. Try a smaller "
                "--learning-rate, or --precision float32, and look at the data."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def _without_nan(content):
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
