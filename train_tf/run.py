"""A run: its folder, its checkpoints, and going on where it stopped.

runs/<name>/ holds config.json, split.json, history.csv, results.json and pictures,
tensorboard/ for TensorBoard, and checkpoints/epoch-NNNN/ of the last and the best
epoch, each with model.weights.h5 (optimizer included) and state.json. state.json has
the whole history, so that an epoch is either complete in one folder or not there.
"""

import csv
import io
import json
import math
import shutil

import keras
import tensorflow as tf

from train_tf.command_line import to_dict
from train_tf.errors import InputError
from train_tf.files import remove_leftovers, write_json, write_text, written_beside

# What may differ between a run and its resumption.
FREE_TO_CHANGE = {
    "epochs",
    "patience",
    "resume",
    "data_dir",
    "runs_dir",
    "saved_models_dir",
}


class Run:
    """The folder of a run and what has been reached in it.

    Args:
        config: a config dataclass with `run_folder` and `resume`.
        monitor: the figure in the history that the best epoch has most or least of.
        mode: "max" or "min".

    Attributes:
        folder: where everything goes.
        history: a list of dicts, one an epoch: "epoch", counted from 1, and figures.

    Raises:
        InputError: if the folder is there and shall not be resumed, or is resumed with
            options that would make it another run.
    """

    def __init__(self, config, monitor, mode="max"):
        self.config, self.monitor, self.mode = config, monitor, mode
        self.folder = config.run_folder
        self.checkpoints = self.folder / "checkpoints"
        config_file = self.folder / "config.json"
        if self.folder.exists():
            if not config.resume:
                raise InputError(
                    f"There is a run in {self.folder}. Go on with it by --resume, or "
                    "give the new one a --name of its own."
                )
            if config_file.exists():
                self._check_same_run(json.loads(config_file.read_text()))
            remove_leftovers(self.folder)
            remove_leftovers(self.checkpoints)
        write_json(config_file, to_dict(config))
        states = sorted(self.checkpoints.glob("epoch-*/state.json"))
        self.history = json.loads(states[-1].read_text()) if states else []

    @property
    def epochs_done(self):
        """How many epochs the run has behind it."""
        return len(self.history)

    @property
    def best_epoch(self):
        """The epoch with the best monitored figure, counted from 1; 0 if none."""
        best = max if self.mode == "max" else min
        rows = [row for row in self.history if not math.isnan(row[self.monitor])]
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
        file = self.folder / name
        if file.exists() and json.loads(file.read_text()) != content:
            raise InputError(
                f"The run was started with other data than now: see {file}. Bring back "
                "what it was started with, or give the new run a --name of its own."
            )
        write_json(file, content)

    def save(self, model, figures):
        """Keep the epoch that has just ended: weights, optimizer, history.

        Args:
            model: the compiled `keras.Model`.
            figures: name to number.
        """
        figures = {name: float(value) for name, value in sorted(figures.items())}
        self.history.append({"epoch": self.epochs_done + 1, **figures})
        with written_beside(self._checkpoint(self.epochs_done)) as beside:
            beside.mkdir()
            model.save_weights(beside / "model.weights.h5")
            write_json(beside / "state.json", self.history)
        for folder in self.checkpoints.glob("epoch-*"):
            if folder not in map(self._checkpoint, (self.epochs_done, self.best_epoch)):
                shutil.rmtree(folder)
        write_text(self.folder / "history.csv", _as_csv(self.history))

    def load_last(self, model):
        """Put the weights and the optimizer of the last saved epoch into a model."""
        self._load(model, self.epochs_done)

    def load_best(self, model):
        """Put the weights of the best epoch into a model."""
        self._load(model, self.best_epoch)

    def _checkpoint(self, epoch):
        return self.checkpoints / f"epoch-{epoch:04d}"

    def _load(self, model, epoch):
        # A new optimizer has no slots yet to put the saved ones into.
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._checkpoint(epoch) / "model.weights.h5")

    def _check_same_run(self, saved):
        differing = [
            f"  --{name.replace('_', '-')}: {saved.get(name)} before, {value} now"
            for name, value in to_dict(self.config).items()
            if name not in FREE_TO_CHANGE and saved.get(name) != value
        ]
        if differing:
            listed = "\n".join(differing)
            raise InputError(
                f"The run in {self.folder} was started with other options:\n{listed}\n"
                "Resume it with the same ones, or give the new run a --name of its own."
            )


def fit(model, run, batches, steps, validation, callbacks):
    """Train until the config's last epoch, from where the run stands.

    Args:
        model: a `keras.Model`, built and compiled.
        run: a `Run`.
        batches: function from a `range` of epochs to their batches, one after another.
        steps: batches an epoch.
        validation: batches that each epoch ends with.
        callbacks: `keras.callbacks.Callback`s that see each epoch after it was saved.
    """
    if run.is_complete:
        return
    epochs = range(run.epochs_done, run.config.epochs)
    # In the first step it would have TensorFlow trace that step twice.
    model.optimizer.build(model.trainable_variables)
    if run.epochs_done:
        run.load_last(model)
        print(f"Resumed after epoch {run.epochs_done}.")
    keeping = [_SeedEveryEpoch(run.config.seed), _StopIfNotFinite(), _KeepEpochs(run)]
    try:
        model.fit(
            batches(epochs),
            steps_per_epoch=steps,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            validation_data=validation,
            callbacks=keeping + callbacks,
            verbose=0,
            shuffle=False,  # the batches come shuffled
        )
    except tf.errors.ResourceExhaustedError as error:
        raise InputError(
            "Memory ran out in training; the epochs before are kept. Make the batch, "
            "the pictures or the network smaller."
        ) from error


class _KeepEpochs(keras.callbacks.Callback):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        self.run.save(self.model, logs)
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
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"The loss became {logs['loss']} at step {batch + 1} of epoch "
                f"{self.epoch + 1}; the epochs before are kept. Try a smaller "
                "--learning-rate, or --precision float32, and look at the data."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def _as_csv(history):
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
