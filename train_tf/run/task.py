"""A training from its config to its SavedModel, whatever the model."""

import abc
import json
import statistics
import time
from pathlib import Path

import keras

from train_tf import devices
from train_tf.command_line import to_dict
from train_tf.config import WHERE_AND_HOW
from train_tf.data.pipeline import steps_of
from train_tf.distributed import cluster, replicas
from train_tf.errors import InputError
from train_tf.files import read_json
from train_tf.macs import macs
from train_tf.run.callbacks import Progress, TensorBoard
from train_tf.run.folder import check_available
from train_tf.run.loop import FREE_TO_CHANGE, Run, fit
from train_tf.run.report import draw_curves, provenance

KEPT_PRECISION = "precision.json"


class Task(abc.ABC):
    """What a training has of its own: its data, its model, what is looked at.

    Args:
        config: a subclass of `train_tf.config.RunConfig`.
        like: another task, whose data need not be read again if they are the same.

    Attributes:
        data_options: names of the options that the data follow from.
        data: what `load` gives.
        counts: how many examples the parts "train", "validation" and "test" have.
        split: what must be the same when the run is resumed; a dict for JSON.
        monitor, mode: as `train_tf.run.loop.Run`.
        shown: name in the history to name, of the figures shown after each epoch.
        curves: name in the history to title, of the figures drawn over the epochs.
        inputs: `tf.TensorSpec`s of what the model is called with.
        use: what to do next, with {} for the SavedModel.
    """

    mode = "max"

    def __init__(self, config, like=None):
        self.config = config
        same = like is not None and all(
            getattr(config, name) == getattr(like.config, name)
            for name in self.data_options
        )
        self.data = like.data if same else self.load()

    @abc.abstractmethod
    def load(self):
        """Read the data that the config names, and say what was found."""

    @staticmethod
    @abc.abstractmethod
    def tracked_options(config):
        """Options that searches and TensorBoard's table of runs show, name to value."""

    @abc.abstractmethod
    def build(self):
        """The compiled model."""

    @abc.abstractmethod
    def training_batches(self, epochs, replicas):
        """As `train_tf.data.pipeline.training_batches`."""

    @abc.abstractmethod
    def validation_batches(self, replicas):
        """As `train_tf.data.pipeline.evaluation_batches`."""

    @abc.abstractmethod
    def pictures(self, model):
        """What TensorBoard shows after each epoch: title to pictures."""

    def histograms(self, model):
        """Numbers whose distribution TensorBoard shows: title to numbers."""
        return {}

    @abc.abstractmethod
    def results(self, model, run):
        """Figures of the test part, a dict for JSON; writes pictures of it."""

    @abc.abstractmethod
    def export(self, model):
        """Export the model for serving; gives its folder."""

    @abc.abstractmethod
    def summary(self, results):
        """The results as text for the screen."""

    @property
    def steps(self):
        """Batches an epoch."""
        return steps_of(self.counts["train"], self.config.batch_size)

    def networks(self, model):
        """The functional models that make a picture, the first for images."""
        return [model]

    def parameters_of(self, model):
        """How many weights the model has for its use."""
        return model.count_params()


def train(config, task_class):
    """Train a model, or go on with its run, and export its best epoch.

    Args:
        config: a subclass of `train_tf.config.RunConfig`.
        task_class: the `Task` of it.

    Returns:
        The results, as in results.json; of several workers only the chief has them.

    Raises:
        InputError: if the data, the options or the run folder are not in order.
        WorkerLost: if another worker is gone.
    """
    started = time.monotonic()
    strategy = devices.set_up(_precision(config), config.seed, config.strategy)
    if cluster.is_chief(strategy):  # before the data are read
        folder, resume = config.run_folder, config.resume
        check_available(folder, to_dict(config), resume, FREE_TO_CHANGE)
    with cluster.watched(strategy):
        task, model = _prepare(task_class(config), strategy)
        with Run(config, task.monitor, task.mode, strategy) as run:
            return _carry_out(task, model, run, started)


def best_value(config, task_class, like=None):
    """Train a model without a report, or go on with its run, or look at it if it ended.

    Args:
        config, task_class: as for `train`.
        like: as for `Task`.

    Returns:
        The monitored figure of the best epoch.

    Raises:
        InputError: as `train`.
    """
    strategy = devices.set_up(_precision(config), config.seed, config.strategy)
    if config.run_folder.exists():
        with Run(config, task_class.monitor, task_class.mode, strategy) as run:
            if run.is_complete:
                return run.best_value
    task, model = _prepare(task_class(config, like), strategy)
    with Run(config, task.monitor, task.mode, strategy) as run:
        _keep(run, task)
        _fit(task, model, run, replicas.Own(task.build))
        return run.best_value


def _precision(config):
    """As asked; where that leaves it open, as the run that is resumed began."""
    file = config.run_folder / KEPT_PRECISION
    if config.precision != "auto" or not config.resume or not file.exists():
        return config.precision
    kept = read_json(file).get("precision")
    if kept not in devices.PRECISIONS:
        raise InputError(
            f"Expected a precision of {', '.join(devices.PRECISIONS)} in {file}. "
            f"Received: {kept}"
        )
    return kept


def _used_precision():
    return keras.config.dtype_policy().name.removeprefix("mixed_")


def _keep(run, task):
    run.keep(KEPT_PRECISION, {"precision": _used_precision()})
    run.keep("split.json", task.split)


def _prepare(task, strategy):
    """The task and its model, when all that can be checked before was checked."""
    _check_same_for_all(task, strategy)
    sharing, batch_size = strategy.num_replicas_in_sync, task.config.batch_size
    replicas.check_enough(task.counts, batch_size, sharing)
    with strategy.scope():
        model = task.build()
    devices.check_memory(task.networks(model), -(-batch_size // sharing))
    return task, model


def _check_same_for_all(task, strategy):
    """Refuse to train as a worker that has other options or data than the chief."""
    config = task.config
    options = {
        f"--{name.replace('_', '-')}": value
        for name, value in to_dict(config).items()
        # Each worker may have its own folders.
        if name not in WHERE_AND_HOW and not isinstance(getattr(config, name), Path)
    }
    text = json.dumps({"options": options, "data": task.split})
    own = json.loads(text)
    of_chief = json.loads(cluster.from_chief(text.encode(), strategy))
    theirs, ours = of_chief["options"], own["options"]
    differing = [
        f"{name} {value} instead of {theirs.get(name)}"
        for name, value in ours.items()
        if value != theirs.get(name)
    ]
    if own["data"] != of_chief["data"]:
        differing.append("other data")
    if differing:
        raise InputError(
            "Expected the options and the data that the first worker has. Received: "
            f"{', '.join(differing)}"
        )


def _carry_out(task, model, run, started):
    _keep(run, task)
    print(f"Run: {run.folder} ({task.parameters_of(model):,} parameters)")
    if run.is_complete and run.results:
        extends = "--epochs" if run.epochs_done >= task.config.epochs else "--patience"
        print(f"It was complete after epoch {run.epochs_done}; {extends} extends it.")
        _tell(task, run)
        return run.results

    own = replicas.Own(task.build)
    earlier = sum(whole for _, whole in run.seconds)
    _fit(task, model, run, own)
    run.load_best(model)
    if run.is_chief:
        run.write_results(_report(task, own.of(model), run, started - earlier))
        _tell(task, run)
    # The others wait for this, so that all can be started again if it fails.
    cluster.from_chief(b"", run.strategy)
    return run.results


def _fit(task, model, run, own):
    fit(
        model,
        run,
        task.training_batches,
        task.steps,
        task.validation_batches,
        steps_of(task.counts["validation"], task.config.batch_size),
        _watchers(task, run, own) if run.is_chief else [],
    )


def _report(task, model, run, started):
    seconds = statistics.median(of_training for of_training, _ in run.seconds)
    draw_curves(run.folder / "curves.png", run.history, task.curves, run.best_epoch)
    best = run.history[run.best_epoch - 1]
    return {
        **provenance(task.config),
        "precision": _used_precision(),
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
        "minutes": round((time.monotonic() - started) / 60, 2),
    }


def _watchers(task, run, own):
    config = task.config
    return [
        Progress(run.epochs_done, config.epochs, task.steps, task.shown),
        TensorBoard(
            run.folder / "tensorboard",
            config.name,
            task.tracked_options(config),
            task.inputs,
            lambda model: task.pictures(own.of(model)),
            lambda model: task.histograms(own.of(model)),
        ),
    ]


def _tell(task, run):
    results = run.results
    pictures = (str(file) for file in sorted(run.folder.glob("*.png")))
    print(
        f"\nBest epoch {results['best_epoch']}, {results['minutes']:.1f} minutes\n\n"
        f"{task.summary(results)}\n\n"
        f"Pictures:    {', '.join(pictures)}\n"
        f"SavedModel:  {results['saved_model']}\n"
        f"Watch it:    tensorboard --logdir {task.config.runs_dir}\n"
        f"{task.use.format(results['saved_model'])}"
    )
