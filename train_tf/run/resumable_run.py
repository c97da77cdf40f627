"""A run that can be resumed: its folder, its history and its checkpoints.

runs/<name>/ holds config.json, precision.json, split.json, history.csv, results.json,
figures, model.keras, tensorboard/ for TensorBoard, and checkpoints/ of the last two
epochs and the best one.
"""

import json
import math
import tempfile
from pathlib import Path

from train_tf.command_line import from_dict, to_dict
from train_tf.config import OPTIONS_NOT_COMPARED
from train_tf.distributed import cluster
from train_tf.errors import InputError
from train_tf.files import as_csv, read_json, write_json, write_text
from train_tf.run.checkpoints import Checkpoints
from train_tf.run.folder import CONFIG, Folder, write_or_verify

# Options that may differ between a run and its resumption.
OPTIONS_ALLOWED_TO_DIFFER = OPTIONS_NOT_COMPARED | {"epochs", "patience"}

# What results.json has at least.
REQUIRED_RESULTS = {"epochs", "best_epoch", "minutes", "test", "images", "saved_model"}


def check_run_folder(config):
    """Raise `InputError` before the data is read; see `Run`."""
    _folder(config).check()


class Run:
    """The folder of a run and its progress.

    With several workers only the chief reads and writes the folder. It is locked for
    this process until the end of a `with` block.

    Args:
        config: a `train_tf.config.RunConfig`.
        monitor: the metric of the best epoch, as in `keras.callbacks.ModelCheckpoint`.
        mode: "max" or "min".
        workers: the `train_tf.distributed.cluster.Workers` that train; None for this
            process alone.

    Attributes:
        config: with all defaults filled in.
        folder: where everything goes.
        history: a list of one dict per epoch: "epoch", from 1, and metrics.
        seconds: for each epoch a pair: seconds of training, and seconds including
            validation.
        results: the content of results.json; None without one.

    Raises:
        InputError: if the folder exists and is not to be resumed, was started with
            other options, is in use, or has no intact checkpoint.
    """

    def __init__(self, config, monitor, mode="max", workers=None):
        self.config, self.monitor, self.mode = config.resolve(), monitor, mode
        self.workers = workers or cluster.join("one")
        self.folder = config.run_folder
        state = self._open(config) if self.workers.is_chief else None
        state = self.workers.from_chief(json.dumps(state).encode())
        self.history, self.seconds, self._saved, self.results = json.loads(state)

    def _open(self, config):
        """Lock the folder; return its progress."""
        self._lock = _folder(config).acquire()
        try:
            self._checkpoints = Checkpoints(self.folder / "checkpoints")
            saved, history = self._checkpoints, self._checkpoints.history()
            if history:  # a kill may have come between checkpoint and table
                write_text(self.folder / "history.csv", as_csv(history))
            return history, saved.seconds(), saved.epochs, self._results_of(history)
        except BaseException:
            self._lock.release()
            raise

    def _results_of(self, history):
        """The results that belong to a history; None if they are of another one, are
        incomplete, or their SavedModel is gone."""
        try:
            results = read_json(self.folder / "results.json")
        except (FileNotFoundError, InputError):
            return None
        if results.keys() >= REQUIRED_RESULTS and results["epochs"] == len(history):
            exists = Path(str(results["saved_model"])).is_dir()
            return results if exists else None
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.workers.is_chief:
            self._lock.release()

    @property
    def epochs_done(self):
        """The number of epochs trained so far."""
        return len(self.history)

    @property
    def best_epoch(self):
        """The epoch with the best monitored metric, from 1; 0 if there is none."""
        return self._best_of(self._saved, self.history)

    @property
    def best_value(self):
        """The best monitored metric up to the config's last epoch."""
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
        """Whether the last `patience` epochs brought no improvement."""
        patience = self.config.patience
        return bool(patience) and self.epochs_done - self.best_epoch >= patience

    @property
    def is_complete(self):
        """Whether no epoch is left to train."""
        return self.epochs_done >= self.config.epochs or self.out_of_patience

    def write_or_verify(self, name, content):
        """`train_tf.run.folder.write_or_verify` for a file in the run's folder."""
        if self.workers.is_chief:
            write_or_verify(self.folder / name, content)

    def save(self, model, metrics, seconds):
        """Save the epoch that has just ended: weights, optimizer, history.

        Args:
            model: the compiled `keras.Model`.
            metrics: dict, name -> number.
            seconds: a pair: seconds of training, and seconds including validation.
        """
        metrics = {name: float(value) for name, value in sorted(metrics.items())}
        epoch = self.epochs_done + 1
        history = [*self.history, {"epoch": epoch, **metrics}]
        all_seconds = [*self.seconds, list(seconds)]
        saved = [*self._saved, epoch]
        # Keep the second-to-last checkpoint in case the last one is damaged.
        saved = sorted({*saved[-2:], self._best_of(saved, history) or epoch})
        if self.workers.is_chief:
            self._checkpoints.save(model, history, all_seconds, saved)
            write_text(self.folder / "history.csv", as_csv(history))
        self.history, self.seconds, self._saved = history, all_seconds, saved

    def write_results(self, results):
        """Write results.json; NaN becomes null."""
        self.results = _without_nan(results)
        write_json(self.folder / "results.json", self.results)

    def load_last(self, model):
        """Load weights and optimizer of the last saved epoch into a model."""
        self._load(model, self.epochs_done)

    def load_best(self, model):
        """Load weights and optimizer of the best epoch, or raise `InputError`."""
        if not self.best_epoch:
            raise InputError(
                f"{self.monitor} is not a number in any saved epoch, so none is the "
                "best. Try a smaller --learning-rate, and check the data."
            )
        self._load(model, self.best_epoch)

    def _load(self, model, epoch):
        with self.workers.strategy.scope():
            # A new optimizer has no slots yet to load the saved ones into.
            model.optimizer.build(model.trainable_variables)
        content = self._checkpoints.weights(epoch) if self.workers.is_chief else b""
        content = self.workers.from_chief(content)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.weights.h5"
            file.write_bytes(content)
            model.load_weights(file)


def _folder(config):
    folder = config.run_folder

    def resolve(options):
        return to_dict(from_dict(type(config), options, folder / CONFIG).resolve())

    options = to_dict(config)
    return Folder(folder, options, config.resume, OPTIONS_ALLOWED_TO_DIFFER, resolve)


def _without_nan(content):
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
