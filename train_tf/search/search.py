"""A search for good options: keras-tuner proposes them, short trainings score them.

runs/<name>/ holds config.json, split.json, trials.csv, best.json, and one run per
trial, named by a hash of its options. A resumed search proposes its trials again and
finds their runs there, so nothing else is saved, and nothing is lost if it is killed. A
trial that Hyperband continues is a run that is extended, with a new cosine decay of the
learning rate. If several workers train at once, the order in which trials end
influences the proposals, and some runs of hyperband and bayesian searches may be left
unused.

With KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT in the
environment, one process, the chief, proposes, and the others train. They need a shared
folder.
"""

import dataclasses
import hashlib
import json
import math
import sys
import tempfile
import time

import filelock
import grpc
import keras
import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src.distribute import oracle_client

from train_tf.command_line import silent, to_dict
from train_tf.config import OPTIONS_NOT_COMPARED, LogUniform
from train_tf.distributed.cluster import START_SECONDS, check_alone
from train_tf.errors import InputError, WorkerLost
from train_tf.files import read_json
from train_tf.run.folder import CONFIG, Folder, write_or_verify
from train_tf.run.training import train_for_score
from train_tf.search.chief import heartbeat, role, serve
from train_tf.search.trials import TrialReport

NO_ANSWER = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
METHOD_USED = "method_used"  # in the search's config.json
ORACLES = {
    "hyperband": oracles.HyperbandOracle,
    "bayesian": oracles.BayesianOptimizationOracle,
    "random": oracles.RandomSearchOracle,
}


def search(config, config_class, task_class, space):
    """Search for the options whose trainings reach the best metric.

    Args:
        config: a `config_class` that is also a `train_tf.config.SearchOptions`; `tune`
            names the searched options. The first trial uses the config's own options,
            if they lie in the search space; a search in one process also trains them
            for the full number of epochs.
        config_class: the config of a training.
        task_class: the `train_tf.run.training.Task` of a training.
        space: dict, option -> its values, or a `train_tf.config.LogUniform`.

    Returns:
        The path of best.json; None in a worker.

    Raises:
        InputError: if the data or the options are invalid, the search was started with
            other ones, or no trial was completed.
        WorkerLost: if the chief, or a worker of this chief, does not answer.
    """
    check_alone("a search (launch_local.py --search starts its own)", config.strategy)
    process, resolved = role(), config.resolve()
    space = {name: space[name] for name in config.tune}
    first = _options_of_first_trial(task_class.tracked_options(resolved), space)
    method = _method(config, space)
    oracle = _oracle(resolved, task_class, space, first, method)
    # Loaded before any trial, so that invalid data is one error.
    task = None if process == "chief" else task_class(config)

    def check():
        with filelock.FileLock(config.run_folder / ".split.lock"):  # workers share it
            file = config.run_folder / "split.json"
            write_or_verify(file, task.data_identity, "search")

    def train(options):
        trial = trial_config(config, config_class, options)
        with silent():
            score = float(train_for_score(trial, task_class, task))
        if math.isnan(score):
            raise InputError(f"{task_class.monitor} is not a number.")
        return score

    def options_of(values):
        return trial_options(resolved, space, values)

    def run_trials():
        _run_trials(oracle, task_class.monitor, check, lambda x: train(options_of(x)))

    if process == "worker":
        run_trials()
        return None

    lock = _folder(config, space, method).acquire()
    try:
        requested = to_dict(config)
        report = TrialReport(
            config.run_folder,
            {x.name: requested[x.name] for x in dataclasses.fields(config_class)},
            task_class.monitor,
            task_class.mode,
            first,
        )
        if first is None:
            print(
                "The command-line options are not in the search space, so no trial "
                "uses them."
            )
        _report_trials(oracle, report, options_of)
        if process == "chief":
            serve(oracle, START_SECONDS)
        else:
            run_trials()
            _train_first_in_full(report, resolved.epochs, train)
        return report.finish()
    finally:
        lock.release()


def trial_options(config, space, values):
    """The options that one trial has of its own: the searched ones, and its epochs.

    Args:
        config, space: as for `search`.
        values: the oracle's proposal; Hyperband adds a number of epochs.
    """
    epochs = values.get("tuner/epochs", config.epochs)
    return {**{name: values[name] for name in space}, "epochs": epochs}


def trial_name(options):
    """The name of a trial's run; the number of epochs does not change it."""
    text = json.dumps({**options, "epochs": None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def trial_config(config, config_class, options):
    """The config of one trial's training: `options`, and the rest from the search.

    Raises:
        InputError: if the options do not fit together.
    """
    fields = dataclasses.fields(config_class)
    shared = {field.name: getattr(config, field.name) for field in fields}
    run = {"name": trial_name(options), "runs_dir": config.run_folder, "resume": True}
    return config_class(**{**shared, **options, **run})


def _folder(config, space, method):
    options = {
        **to_dict(config),
        "space": {name: list(values) for name, values in space.items()},
        METHOD_USED: method,
    }

    def resolve(options):
        requested = {x: value for x, value in options.items() if value is not None}
        return {**config.defaults, **requested}

    free = OPTIONS_NOT_COMPARED | {"trials"}
    return Folder(config.run_folder, options, config.resume, free, resolve, "search")


def _options_of_first_trial(options, space):
    """The searched options of a config; None if they are not in the search space."""
    first = {name: options.get(name) for name in space}
    return first if all(first[name] in space[name] for name in space) else None


def _method(config, space):
    """The method of a resumed search, else the requested method.

    If all combinations can be tried, "random" replaces "hyperband", which would end
    before any of them is trained in full.
    """
    file = config.run_folder / CONFIG
    earlier = read_json(file).get(METHOD_USED) if file.exists() else None
    endless = any(isinstance(values, LogUniform) for values in space.values())
    combinations = math.inf if endless else math.prod(map(len, space.values()))
    few = config.method == "hyperband" and combinations <= config.trials
    return earlier or ("random" if few else config.method)


def _oracle(config, task_class, space, first, method):
    """The `keras_tuner.Oracle` that proposes the trials, `first` before others."""
    hyperparameters = keras_tuner.HyperParameters()
    for name, values in space.items():
        if set(values) == {True, False}:
            hyperparameters.Boolean(name)
        elif isinstance(values, LogUniform):
            hyperparameters.Float(name, *values, sampling="log")
        else:
            hyperparameters.Choice(name, list(values))
    # Only --trials ends a search: not Hyperband's iterations, not trials that fail.
    settings = {
        "objective": keras_tuner.Objective(task_class.monitor, task_class.mode),
        "hyperparameters": hyperparameters,
        "seed": config.seed + 1,  # keras-tuner draws a seed in place of 0
        "max_consecutive_failed_trials": config.trials + 1,
    }
    if method == "bayesian":
        settings["num_initial_points"] = max(3, len(space))
    if method == "hyperband":
        settings["max_epochs"] = config.epochs
        settings["hyperband_iterations"] = math.inf

    class OracleWithFirstTrial(ORACLES[method]):
        def populate_space(self, trial_id):
            proposal = super().populate_space(trial_id)
            if first and not self.trials:
                proposal["values"].update(first)
            return proposal

    oracle = OracleWithFirstTrial(**settings)
    oracle.max_trials, oracle.verbose = config.trials, 0
    return oracle


def _report_trials(oracle, report, options_of):
    """Add each trial that ends to the report."""
    end = oracle.end_trial

    def end_trial(trial):
        end(trial)
        ended = oracle.get_trial(trial.trial_id)
        options = options_of(ended.hyperparameters.values)
        report.add(trial_name(options), options, ended.score, ended.message)

    oracle.end_trial = end_trial


def _run_trials(oracle, monitor, check, train):
    """Run the proposed trials until there are no more.

    `check` is called before each trial, and its errors end the search. `train` is a
    function from proposed values to the metric `monitor`; an `InputError` of it skips
    the trial. A worker asks the oracle of the chief.
    """
    oracle_client.TIMEOUT = START_SECONDS  # keras-tuner has no public option for it
    try:
        with tempfile.TemporaryDirectory() as folder:
            tuner = BaseTuner(oracle, directory=folder)
            oracle = tuner.oracle  # in a worker, the connection with the chief
            while True:
                trial = oracle.create_trial(tuner.tuner_id)
                if trial.status == TrialStatus.STOPPED:
                    break
                if trial.status == TrialStatus.IDLE:
                    time.sleep(0.1)
                    continue
                check()
                _run_trial(oracle, trial, monitor, train)
    except grpc.RpcError as error:
        if error.code() not in NO_ANSWER:
            raise
        raise WorkerLost(
            f"The chief of the search did not answer for {START_SECONDS} seconds. "
            f"Start all processes again with --resume. {error.details()}"
        ) from error


def _run_trial(oracle, trial, monitor, train):
    try:
        with heartbeat(oracle, trial):
            score = train(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {monitor: score})
        trial.status = TrialStatus.COMPLETED
    except InputError as error:
        trial.status, trial.message = TrialStatus.FAILED, str(error)
        if role() == "worker":  # the message does not reach the chief
            print(f"Trial skipped: {error}", file=sys.stderr)
    finally:
        keras.backend.clear_session()
    oracle.end_trial(trial)


def _train_first_in_full(report, epochs, train):
    """Train the command-line options in full, which Hyperband may not have done."""
    if report.first_row is None or report.first_row["epochs"] == epochs:
        return
    options = {**report.first, "epochs": epochs}
    try:
        report.add(trial_name(options), options, train(options), None)
    except InputError as error:
        report.add(trial_name(options), options, None, str(error))
