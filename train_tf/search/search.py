"""A search for good options: keras-tuner proposes, short trainings answer.

runs/<name>/ holds config.json, split.json, trials.csv, trials.png, best.json, and a run
for each trial, named by its options. A search that goes on proposes its trials again
and finds their runs there: nothing else needs to be kept, and nothing is lost by a
kill. A trial that Hyperband has go on is a run that is extended, with a new cosine for
its learning rate. Where several train at once, what is proposed depends on who ended
first, and some runs of hyperband and bayesian searches may be left unused.

With keras-tuner's KERASTUNER_TUNER_ID, _ORACLE_IP and _ORACLE_PORT in the environment,
one process, the chief, proposes, and others train. They need the folder in common.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import sys
import tempfile
import time

import grpc
import keras
import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.src.distribute import oracle_client

from train_tf.command_line import silent, to_dict
from train_tf.config import WHERE_AND_HOW, Between
from train_tf.distributed.cluster import START_SECONDS, check_alone
from train_tf.errors import InputError, WorkerLost
from train_tf.files import read_json
from train_tf.run.folder import CONFIG, keep, take
from train_tf.run.task import best_value
from train_tf.search.chief import heartbeat, serve
from train_tf.search.trials import TrialReport

FREE_TO_CHANGE = WHERE_AND_HOW | {"trials"}
NO_ANSWER = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
PROPOSED_BY = "proposed_by"  # in the search's config.json
ENDLESS = 1_000_000  # Hyperband's sweeps: --trials alone says when it is over


def search(config, config_class, task_class, space):
    """Search for the options whose trainings reach the best figure.

    Args:
        config: a config of class `config_class` that is a
            `train_tf.config.SearchOptions` too, and names in `tune` what is searched.
            Its own options are the first trial, if they are within the space, and are
            trained in full at the end, if one process does all.
        config_class: that of a training.
        task_class: the `train_tf.run.task.Task` of it.
        space: option to its values, or to a `train_tf.config.Between`.

    Returns:
        The file with the best options; None in a process that only runs trials.

    Raises:
        InputError: if the data or the options are not in order, the search was started
            with others, or no trial came to an end.
        WorkerLost: if the chief does not answer.
    """
    what = "a search, whose own are started by launch_local.py --search"
    check_alone(what, config.strategy)
    role, given = _role(), to_dict(config)
    space = {name: space[name] for name in config.tune}
    start = _start(task_class.tracked_options(config), space)
    method = _method(config, space)
    oracle = _oracle(config, task_class, space, start, method)

    # What is wrong with the data is said once, before all.
    like = None if role == "chief" else task_class(config)

    def train(own):
        of_trial = trial_config(config, config_class, own)
        with silent():
            return best_value(of_trial, task_class, like)

    def check():
        keep(config.run_folder / "split.json", like.split, "search")

    def run_trials():
        _run_trials(
            oracle, check, lambda values: train(own_options(config, space, values))
        )

    if role == "worker":
        run_trials()
        return None

    folder, monitor, mode = config.run_folder, task_class.monitor, task_class.mode
    of_search = {**given, "space": {name: list(x) for name, x in space.items()}}
    of_search[PROPOSED_BY] = method
    of_training = {x: given[x] for x in _names(config_class)}
    lock = take(folder, of_search, config.resume, FREE_TO_CHANGE, "search")
    try:
        report = TrialReport(folder, of_training, monitor, mode, start)
        if start is None:
            print("The options as given are not among those searched, and no trial.")

        def end_trial(trial, of_oracle=oracle.end_trial):
            of_oracle(trial)
            ended = oracle.get_trial(trial.trial_id)
            own = own_options(config, space, ended.hyperparameters.values)
            report.add(run_name(own), own, ended.score, ended.message)

        oracle.end_trial = end_trial
        if role == "chief":
            serve(oracle, START_SECONDS)
        else:
            run_trials()
            _train_as_given(report, config.epochs, train)
        return report.finish()
    finally:
        lock.release()


def _train_as_given(report, epochs, train):
    """Have the options that the search was given trained in full too, to compare with:
    Hyperband may have passed them over."""
    if report.as_given is None or report.as_given["epochs"] == epochs:
        return
    own = {**report.start, "epochs": epochs}
    try:
        report.add(run_name(own), own, train(own), None)
    except InputError as error:
        report.add(run_name(own), own, None, str(error))


def _start(given, space):
    """The options that a search is given and starts from; None if out of its space."""
    start = {name: given.get(name) for name in space}
    return start if all(_is_among(start[name], space[name]) for name in space) else None


def _is_among(value, values):
    if isinstance(values, Between):
        return value is not None and values.least <= value <= values.most
    return value in values


def own_options(config, space, values):
    """What one trial has of its own: what is searched, and epochs.

    Args:
        config, space: as for `search`.
        values: what the oracle proposed; Hyperband's number of epochs is among it.
    """
    epochs = values.get("tuner/epochs", config.epochs)
    return {**{name: values[name] for name in space}, "epochs": epochs}


def run_name(own):
    """The name of a trial's run. One that goes on for more epochs keeps it."""
    text = json.dumps({**own, "epochs": None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def trial_config(config, config_class, own):
    """The config of one trial's training, whose options are `own` and the search's.

    Raises:
        InputError: if they do not go together.
    """
    given = {name: getattr(config, name) for name in _names(config_class)}
    place = {"name": run_name(own), "runs_dir": config.run_folder, "resume": True}
    return config_class(**given | own | place)


def _names(config_class):
    return [field.name for field in dataclasses.fields(config_class)]


class _Tuner(BaseTuner):
    """Runs the trials that an oracle proposes."""

    def __init__(self, oracle, folder, check, train):
        super().__init__(oracle, directory=folder, project_name="search")
        self.check, self.train = check, train

    def pre_create_trial(self):
        time.sleep(0.1)  # an oracle that has nothing yet is asked again at once

    def run_trial(self, trial):
        try:
            self.check()
        except InputError as error:  # of all trials, not of this one
            raise FatalError(str(error)) from error
        try:
            with heartbeat(self.oracle, trial):
                return self.train(trial.hyperparameters.values)
        except InputError as error:
            if _role() == "worker":  # a chief hears only that it failed
                print(f"Trial skipped: {error}", file=sys.stderr)
            raise FailedTrialError(str(error)) from error
        except Exception as error:
            raise FatalError(str(error)) from error
        finally:
            keras.backend.clear_session()


def _run_trials(oracle, check, train):
    """Run trials until there are enough, if `check` finds nothing against them."""
    oracle_client.TIMEOUT = START_SECONDS
    keras_tuner.src.config.DEBUG = False  # it prints a traceback of what is skipped
    with tempfile.TemporaryDirectory() as folder:
        try:
            _Tuner(oracle, folder, check, train).search()
        except FatalError as error:
            raise error.__cause__ or error from None
        except grpc.RpcError as error:
            if error.code() not in NO_ANSWER:
                raise
            raise WorkerLost(
                f"The chief of the search did not answer for {START_SECONDS} seconds. "
                "Start all again with --resume. " + str(error.details())
            ) from error


def _method(config, space):
    """How trials are proposed: as the search began, whatever number was asked for then;
    else as asked, unless halving would end before any of few was trained in full."""
    file = config.run_folder / CONFIG
    began = read_json(file).get(PROPOSED_BY) if file.exists() else None
    few = config.method == "hyperband" and _combinations(space) <= config.trials
    return began or ("random" if few else config.method)


def _oracle(config, task_class, space, start, method):
    """keras-tuner's way to choose the next trial, the first of which is `start`."""
    hyperparameters = keras_tuner.HyperParameters()
    for name, values in space.items():
        if set(values) == {True, False}:
            hyperparameters.Boolean(name)
        elif isinstance(values, Between):
            hyperparameters.Float(name, *values, sampling="log")
        else:
            hyperparameters.Choice(name, list(values))
    # A trial that fails is said and skipped; only --trials ends a search.
    settings = {
        "objective": keras_tuner.Objective(task_class.monitor, task_class.mode),
        "hyperparameters": hyperparameters,
        "seed": config.seed + 1,  # 0 would be taken for none
        "max_consecutive_failed_trials": config.trials + 1,
    }
    kinds = {
        "hyperband": oracles.HyperbandOracle,
        "bayesian": oracles.BayesianOptimizationOracle,
        "random": oracles.RandomSearchOracle,
    }
    if method == "bayesian":
        settings["num_initial_points"] = max(3, len(space))
    if method == "hyperband":
        settings |= {"max_epochs": config.epochs, "hyperband_iterations": ENDLESS}
    oracle = kinds[method](**settings)
    oracle.max_trials, oracle.verbose = config.trials, 0
    if start:
        _propose_first(oracle, start)
    return oracle


def _propose_first(oracle, start):
    """Have an oracle propose `start` in the place of what it would draw first."""
    draw = oracle._random_values

    def replaced():
        oracle._random_values = draw
        draw()  # the others are what they would have been
        return dict(start)

    oracle._random_values = replaced


def _combinations(space):
    ranges = [isinstance(values, Between) for values in space.values()]
    return math.inf if any(ranges) else math.prod(map(len, space.values()))


def _role():
    """Whether this process is "alone", the "chief" of several, or a "worker"."""
    names = [f"KERASTUNER_{x}" for x in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")]
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    if not given:
        return "alone"
    port = given.get(names[2], "")
    if len(given) < 3 or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65_535:
        raise InputError(
            f"Expected {', '.join(names)} in the environment: chief or a name of its "
            f"own for each process, and the chief's address and port. Received: {given}"
        )
    return "chief" if given[names[0]] == "chief" else "worker"
