"""A training from its config to its SavedModel; `train_tf.run` gives the call order."""

import abc
import json
import statistics
import time
from pathlib import Path

import keras

from train_tf import devices
from train_tf.command_line import to_dict
from train_tf.config import OPTIONS_NOT_COMPARED, flag
from train_tf.data.pipeline import num_batches
from train_tf.distributed import cluster, replicas
from train_tf.errors import InputError
from train_tf.files import atomic_write, read_json
from train_tf.macs import macs
from train_tf.run.callbacks import Progress, TensorBoard
from train_tf.run.fit import fit
from train_tf.run.report import draw_curves, provenance
from train_tf.run.resumable_run import Run, check_run_folder

PRECISION = "precision.json"
MODEL = "model.keras"


class Task(abc.ABC):
    """A model and its data, as a training needs them.

    Args:
        config: a `train_tf.config.RunConfig`.
        reuse_data_from: another task, whose data is used if it is the same.

    Attributes:
        config: the resolved config.
        data_options: names of the options that the data depends on.
        data: what `load` returns.
        counts: number of examples of the splits "train", "validation" and "test".
        data_identity: the data's splits, for split.json: a resumed run must have the
            same ones. A dict for JSON.
        monitor, mode: as for `train_tf.run.resumable_run.Run`.
        printed_metrics: titles by name in the history, printed after each epoch.
        plotted_metrics: titles by name in the history, plotted over the epochs.
        inputs: `tf.TensorSpec`s of the model's inputs.
        next_command: what to do next, printed, with {} for the SavedModel.
    """

    mode = "max"

    def __init__(self, config, reuse_data_from=None):
        self.config = config.resolve()
        other = reuse_data_from
        same = other is not None and all(
            getattr(self.config, name) == getattr(other.config, name)
            for name in self.data_options
        )
        self.data = other.data if same else self.load()

    @abc.abstractmethod
    def load(self):
        """Read the data that the config names, and print what was found."""

    @staticmethod
    @abc.abstractmethod
    def tracked_options(config):
        """Options of a resolved config for searches and HPARAMS: dict."""

    @abc.abstractmethod
    def build(self):
        """Build and compile the model."""

    @abc.abstractmethod
    def training_batches(self, epochs, replicas):
        """As `train_tf.data.pipeline.training_batches`."""

    @abc.abstractmethod
    def validation_batches(self, replicas):
        """As `train_tf.data.pipeline.evaluation_batches`."""

    @abc.abstractmethod
    def images(self, model):
        """Images for TensorBoard after each epoch: dict, title -> images."""

    def histograms(self, model):
        """Numbers for TensorBoard's histograms: dict, title -> numbers."""
        return {}

    @abc.abstractmethod
    def results(self, model, run):
        """Metrics of the test split, a dict for JSON; also writes figures."""

    @abc.abstractmethod
    def export(self, model):
        """Export the model for serving; returns the SavedModel's folder."""

    @abc.abstractmethod
    def summary(self, results):
        """The results as text for the screen."""

    @property
    def steps(self):
        """Batches per epoch."""
        return num_batches(self.counts["train"], self.config.batch_size)

    def networks(self, model):
        """The functional models without those that only the training needs.

        The first takes images. Used for MACs and the memory check.
        """
        return [model]

    def parameters_of(self, model):
        """The number of parameters, without networks that only the training needs."""
        return model.count_params()


def train(config, task_class):
    """Train a model, or resume its run, and export its best epoch.

    Args:
        config: a `train_tf.config.RunConfig`.
        task_class: the subclass of `Task` for it.

    Returns:
        The content of results.json; None for workers other than the chief.

    Raises:
        InputError: if data, options or run folder are invalid.
        WorkerLost: if another worker is gone.
    """
    started = time.monotonic()
    workers = _set_up(config)
    if workers.is_chief:
        check_run_folder(config)
    with workers.watched():
        task, model = _prepare(task_class(config), workers)
        with Run(config, task.monitor, task.mode, workers) as run:
            _verify(run, task)
            print(f"Run: {run.folder} ({task.parameters_of(model):,} parameters)")
            if run.is_complete and run.results:
                in_full = run.epochs_done >= run.config.epochs
                option = flag("epochs" if in_full else "patience")
                print(
                    f"The run is complete after epoch {run.epochs_done}; a larger "
                    f"{option} extends it."
                )
            else:
                _train_and_report(config, task, model, run, started)
            if run.workers.is_chief:
                print_summary(task, run)
            return run.results


def train_for_score(config, task_class, reuse_data_from=None):
    """Train a model without a report, or look the value up if its run is complete.

    For arguments and errors see `train` and `Task`.

    Returns:
        The monitored metric of the best epoch.
    """
    workers = _set_up(config)
    if config.run_folder.exists():
        with Run(config, task_class.monitor, task_class.mode, workers) as run:
            if run.is_complete:
                return run.best_value
    task, model = _prepare(task_class(config, reuse_data_from), workers)
    with Run(config, task.monitor, task.mode, workers) as run:
        _verify(run, task)
        _fit(task, model, run, replicas.LocalCopy(task.build))
        return run.best_value


def print_summary(task, run):
    """Print the results of a run, and where its files are."""
    results = run.results
    figures = (str(file) for file in sorted(run.folder.glob("*.png")))
    print(
        f"\nBest epoch {results['best_epoch']}, {results['minutes']:.1f} minutes\n\n"
        f"{task.summary(results)}\n\n"
        f"Figures:     {', '.join(figures)}\n"
        f"Keras model: {run.folder / MODEL}\n"
        f"SavedModel:  {results['saved_model']}\n"
        f"Watch it:    tensorboard --logdir {task.config.runs_dir}\n"
        f"{task.next_command.format(results['saved_model'])}"
    )


def _set_up(config):
    """Connect to the other workers, choose the devices, set precision and seed."""
    workers = cluster.join(config.strategy)
    precision = devices.resolve_precision(_requested_precision(config))
    precision = workers.from_chief(precision.encode()).decode()
    devices.set_up(precision, config.seed, workers.strategy.num_replicas_in_sync)
    return workers


def _requested_precision(config):
    """The config's precision; for "auto", the precision of the run to be resumed."""
    file = config.run_folder / PRECISION
    if config.precision != "auto" or not config.resume or not file.exists():
        return config.precision
    precision = read_json(file).get("precision")
    if precision not in devices.PRECISIONS:
        raise InputError(
            f"Expected a precision of {', '.join(devices.PRECISIONS)} in {file}. "
            f"Received: {precision}"
        )
    return precision


def _current_precision():
    return keras.config.dtype_policy().name.removeprefix("mixed_")


def _prepare(task, workers):
    """Build the model, and check options, batch size and memory."""
    _check_same_on_all_workers(task, workers)
    count, batch_size = workers.strategy.num_replicas_in_sync, task.config.batch_size
    replicas.check_batch_size(task.counts, batch_size, count)
    with workers.strategy.scope():
        model = task.build()
    devices.require_training_memory(task.networks(model), -(-batch_size // count))
    return task, model


def _check_same_on_all_workers(task, workers):
    """Raise `InputError` if this worker has other options or data than the chief."""
    config = task.config
    options = {
        flag(name): value
        for name, value in to_dict(config).items()
        # Each worker may have its own folders.
        if name not in OPTIONS_NOT_COMPARED
        and not isinstance(getattr(config, name), Path)
    }
    text = json.dumps({"options": options, "data": task.data_identity})
    local, of_chief = json.loads(text), json.loads(workers.from_chief(text.encode()))
    differing = [
        f"{name} {value} instead of {of_chief['options'].get(name)}"
        for name, value in local["options"].items()
        if value != of_chief["options"].get(name)
    ]
    if local["data"] != of_chief["data"]:
        differing.append("other data")
    if differing:
        raise InputError(
            "Expected the same options and data as the first worker. Received: "
            f"{', '.join(differing)}"
        )


def _verify(run, task):
    run.write_or_verify(PRECISION, {"precision": _current_precision()})
    run.write_or_verify("split.json", task.data_identity)


def _train_and_report(config, task, model, run, started):
    local_copy = replicas.LocalCopy(task.build)
    earlier = sum(total for _, total in run.seconds)
    _fit(task, model, run, local_copy)
    run.load_best(model)
    if run.workers.is_chief:
        with atomic_write(run.folder / MODEL) as partial:
            model.save(partial)
        results = _report(task, local_copy.of(model), run)
        minutes = (time.monotonic() - started + earlier) / 60
        origin = {**provenance(config), "minutes": round(minutes, 2)}
        run.write_results({**origin, "run_name": config.run_name, **results})
    # The others wait for this, so that all can be started again if it fails.
    run.workers.from_chief(b"")


def _fit(task, model, run, local_copy):
    training, validation = task.training_batches, task.validation_batches
    validation_steps = num_batches(task.counts["validation"], task.config.batch_size)
    callbacks = _callbacks(task, run, local_copy) if run.workers.is_chief else []
    fit(model, run, training, task.steps, validation, validation_steps, callbacks)


def _callbacks(task, run, local_copy):
    config = task.config
    return [
        Progress(run.epochs_done, config.epochs, task.steps, task.printed_metrics),
        TensorBoard(
            run.folder / "tensorboard",
            config.run_name,
            task.tracked_options(config),
            task.inputs,
            lambda model: task.images(local_copy.of(model)),
            lambda model: task.histograms(local_copy.of(model)),
        ),
    ]


def _report(task, model, run):
    seconds = statistics.median(of_training for of_training, _ in run.seconds)
    draw_curves(
        run.folder / "curves.png", run.history, task.plotted_metrics, run.best_epoch
    )
    best = run.history[run.best_epoch - 1]
    return {
        "precision": _current_precision(),
        "images": task.counts,
        "parameters": task.parameters_of(model),
        "macs": sum(map(macs, task.networks(model))),
        "images_per_second": round(task.counts["train"] / seconds, 1),
        "epochs": run.epochs_done,
        "best_epoch": run.best_epoch,
        "validation": {
            name.removeprefix("val_"): value
            for name, value in best.items()
            if name.startswith("val_")
        },
        **task.results(model, run),
        "history": run.history,
        "saved_model": str(task.export(model)),
    }
