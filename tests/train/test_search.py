"""A search finds the best of its trials; a resumed one repeats no training."""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from keras_tuner.src.distribute import oracle_client
from tiny import ROOT

from train_tf.config import LogUniform, RunConfig, SearchOptions
from train_tf.errors import InputError, WorkerLost
from train_tf.search import search as module
from train_tf.search import trials
from train_tf.search.search import search, trial_config, trial_options

SPACE = {
    "shape": ("round", "square"),
    "sides": (3, 4, 5, 6),
    "filled": (True, False),
    "learning_rate": LogUniform(1e-3, 1e-1),
}


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    """A training."""

    shape: str = "round"
    sides: int = 3
    filled: bool = True
    width: int | None = None

    @property
    def defaults(self):
        return {"width": 7}


@dataclasses.dataclass(frozen=True)
class SearchConfig(Config, SearchOptions):
    """A search for options of it."""

    method: str = "random"
    trials: int = 12
    epochs: int = 9
    name: str = "search"
    tune: tuple[str, ...] = tuple(SPACE)
    runs_dir: Path = Path("runs")


class Task:
    """A minimal task for searches."""

    monitor, mode = "val_beauty", "max"

    def __init__(self, config):
        self.data_identity = {"train": f"of {config.data_dir}"}

    @staticmethod
    def tracked_options(config):
        return {name: getattr(config, name) for name in (*SPACE, "width")}


class Ugliness(Task):
    monitor, mode = "val_ugliness", "min"


@pytest.fixture
def tried(monkeypatch):
    """Replaces trainings; returns the configs to be trained."""
    configs = []

    def train_for_score(config, task_class, reuse_data_from):
        assert isinstance(reuse_data_from, task_class)
        configs.append(config)
        return config.sides + 10 * config.filled + config.learning_rate

    monkeypatch.setattr(module, "train_for_score", train_for_score)
    monkeypatch.setattr(module.keras.backend, "clear_session", lambda: None)
    return configs


# Each proposal of the Bayesian method takes seconds.
METHODS = (
    "hyperband",
    pytest.param("bayesian", marks=pytest.mark.slow),
    "random",
)


def run(task=Task, **options):
    return search(SearchConfig(**options), Config, task, SPACE)


@pytest.mark.parametrize("task", [Task, Ugliness])
@pytest.mark.parametrize("method", METHODS)
def test_best_of_all_trials_is_found(method, task, tried, capsys):
    best = run(task, method=method, trials=8)
    in_full = method == "hyperband"  # trains the first options again at the end
    assert best == Path("runs/search/best.json") and len(tried) == 8 + in_full
    choose = max if task.mode == "max" else min
    winner = choose(tried, key=lambda c: c.sides + 10 * c.filled + c.learning_rate)
    found = json.loads(best.read_text())
    assert {name: found[name] for name in SPACE} == {
        name: getattr(winner, name) for name in SPACE
    }
    rows = list(csv.DictReader(best.with_name("trials.csv").open()))
    metrics = [float(row[task.monitor.removeprefix("val_")]) for row in rows]
    assert metrics == sorted(metrics, reverse=task.mode == "max")
    assert rows[0]["run"] == winner.run_name
    assert f"{8 + in_full} trials, 0 skipped" in capsys.readouterr().out
    assert {type(config.filled) for config in tried} == {bool}
    assert all(1e-3 <= config.learning_rate <= 1e-1 for config in tried)


def test_best_options_are_those_of_a_training_and_not_of_one_run(tried):
    found = json.loads(run().read_text())
    of_run = {"config", "epochs", "name", "resume", "runs_dir", "saved_models_dir"}
    of_run |= {"strategy"}
    names = {field.name for field in dataclasses.fields(Config)}
    assert found.keys() == names - of_run


def test_resumed_search_keeps_its_data(tried):
    best = run(trials=3, data_dir=Path("here"))
    assert json.loads(best.read_text())["data_dir"] == "here"
    tried.clear()
    with pytest.raises(InputError, match="search was started with other data.* train "):
        run(trials=5, data_dir=Path("there"), resume=True)
    assert not tried
    run(trials=5, data_dir=Path("here"), resume=True)
    assert len(tried) == 5


def test_resumed_search_keeps_its_method(tried):
    """With 9 trials, a new search would use random; a resumed one keeps hyperband."""
    few = {"tune": ("shape", "sides"), "method": "hyperband"}
    run(trials=4, **few)
    before = [config.name for config in tried]
    tried.clear()
    run(trials=9, resume=True, **few)
    assert [config.name for config in tried][:4] == before[:4]
    assert json.loads(Path("runs/search/config.json").read_text())["method_used"] == (
        "hyperband"
    )


def test_defaults_start_a_search_but_are_not_saved(tried):
    tune = SearchConfig(tune=("width",), trials=2, name="width")
    search(tune, Config, Task, {"width": (3, 5, 7)})
    assert tried[0].width == 7 and tried[1].width != 7
    found = json.loads(run(trials=1).read_text())
    assert found["width"] is None and tried[-1].width is None
    run(trials=2, resume=True, width=7)
    with pytest.raises(InputError, match="--width: 7 before, 8 now"):
        run(trials=2, resume=True, width=8)


def test_options_that_are_not_searched_are_the_requested_ones(tried):
    run(tune=("sides",), shape="square", trials=3)
    assert {config.shape for config in tried} == {"square"}
    assert len({config.sides for config in tried}) == 3


@pytest.mark.parametrize("method", METHODS)
def test_search_starts_with_the_requested_options(method, tried, capsys):
    options = {"shape": "square", "sides": 4, "filled": False, "learning_rate": 0.02}
    run(method=method, trials=5, **options)
    first, *others = tried
    assert {name: getattr(first, name) for name in SPACE} == options
    assert "Command-line options: beauty 4.02 after" in capsys.readouterr().out
    if method == "random":  # the other trials do not depend on the first
        tried.clear()
        run(method=method, trials=5, name="at_random", **options | {"sides": 9})
        assert [x.name for x in tried[1:]] == [x.name for x in others]


def test_start_options_are_trained_in_full_even_if_hyperband_drops_them(tried, capsys):
    options = {"shape": "square", "sides": 3, "filled": False, "learning_rate": 0.001}
    run(method="hyperband", trials=5, **options)  # the worst there are
    assert [config.epochs == 9 for config in (tried[0], tried[-1])] == [False, True]
    assert tried[0].name == tried[-1].name
    assert "6 trials, 0 skipped" in capsys.readouterr().out
    run(method="hyperband", trials=8, resume=True, **options)
    assert tried[-1].epochs == 9 and tried[0].name == tried[-1].name


def test_start_options_that_fail_in_full_are_skipped(tried, monkeypatch, capsys):
    def break_late(config, *_):
        if config.epochs == 9 and config.sides == 3:
            raise InputError("The loss became nan at step 3 of epoch 9; alas")
        return float(config.sides)

    monkeypatch.setattr(module, "train_for_score", break_late)
    run(method="hyperband", trials=3)
    assert "3 trials, 1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{"sides": 9}, {"learning_rate": 0.5}], ids=str)
def test_options_outside_the_search_space_start_no_trial(options, tried, capsys):
    run(trials=2, **options)
    assert all(config.sides in SPACE["sides"] for config in tried)
    assert all(config.learning_rate <= 0.1 for config in tried)
    output = capsys.readouterr().out
    assert "Command-line options:" not in output
    assert "command-line options are not in the search space" in output


def test_search_ends_when_all_combinations_were_tried(tried):
    run(tune=("filled",), trials=20)
    assert len(tried) == 2


def test_few_combinations_are_all_trained_in_full(tried):
    run(tune=("sides", "filled"), method="hyperband", trials=30, epochs=9)
    assert len(tried) == len({(c.sides, c.filled) for c in tried}) > 4
    assert {config.epochs for config in tried} == {9}


def test_trial_that_is_proposed_twice_counts_once(tmp_path):
    report = trials.TrialReport(tmp_path, {}, "val_beauty", "max")
    for epochs in (2, 6, 6):
        report.add("a1b2", {"sides": 3, "epochs": epochs}, 0.5, None)
    assert [row["epochs"] for row in report.rows] == [2, 6]


def test_resumed_search_never_shortens_its_table(tmp_path):
    def rows():
        return len((tmp_path / "trials.csv").read_text().splitlines()) - 1

    for earlier in (0, 3):
        report = trials.TrialReport(tmp_path, {}, "val_beauty", "max")
        for number in (3, 4, 5):
            options = {"sides": number, "epochs": 6}
            report.add(f"run{number}", options, number / 10, None)
            assert rows() == max(earlier, number - 2)


def test_trials_are_numbered_as_they_come(tmp_path, capsys):
    report = trials.TrialReport(tmp_path, {}, "val_beauty", "max")
    for score in (0.5, 0.5, None):
        report.add("a1b2", {"sides": 3, "epochs": 6}, score, "alas")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1].strip(":,") for line in lines] == ["1", "2", "3"]


@pytest.mark.parametrize("how", ["environment", "option"])
def test_workers_of_a_training_are_no_workers_of_a_search(how, tried, monkeypatch):
    if how == "environment":
        monkeypatch.setenv("TF_CONFIG", '{"cluster": {}}')
    with pytest.raises(InputError, match="launch_local.py --search.*Received: "):
        run(strategy="auto" if how == "environment" else "multiworker")
    assert not tried and not Path("runs").exists()


def test_worker_prints_why_a_trial_failed(tried, monkeypatch, capsys):
    def too_large(config, *_):
        raise InputError("Expected a smaller batch.")

    monkeypatch.setattr(module, "train_for_score", too_large)
    monkeypatch.setattr(module, "role", lambda: "worker")
    assert run(trials=2) is None
    errors = capsys.readouterr().err
    assert errors.count("Trial skipped: Expected a smaller batch.") == 2


def test_folder_is_free_when_the_search_is_over(tried, monkeypatch):
    locks, acquire = [], module.Folder.acquire
    monkeypatch.setattr(
        module.Folder, "acquire", lambda self: locks.append(acquire(self)) or locks[-1]
    )
    run()
    assert [lock.is_locked for lock in locks] == [False]


@pytest.mark.parametrize("method", METHODS)
def test_resumed_search_repeats_its_runs_and_adds_more(method, tried):
    run(method=method, trials=5)
    run(method=method, trials=8, resume=True)
    first = 5 + (method == "hyperband")
    assert len(tried) == first + 8 + (method == "hyperband")
    assert tried[first : first + 5] == tried[:5]


def test_search_that_is_there_is_not_overwritten(tried):
    run()
    with pytest.raises(InputError, match="There is a search in .*--resume"):
        run()


def test_changed_space_is_rejected_by_name(tried):
    run()
    with pytest.raises(InputError, match="--tune: .*sides.* before, .* now"):
        run(resume=True, tune=("shape", "filled"))
    narrow = {**SPACE, "sides": (3, 4)}
    with pytest.raises(InputError, match=r"--space: .*\[3, 4, 5, 6\].* now"):
        search(SearchConfig(resume=True), Config, Task, narrow)


def test_trial_that_fails_is_skipped_and_reported(tried, monkeypatch, capsys):
    def break_for_some(config, *_):
        if config.sides < 5:
            raise InputError("The loss became nan at step 3 of epoch 1; alas")
        return config.sides

    monkeypatch.setattr(module, "train_for_score", break_for_some)
    best = run(tune=("sides",), trials=4)
    assert json.loads(best.read_text())["sides"] == 6
    output = capsys.readouterr().out
    assert output.count("skipped: sides 3") == 1 and "epoch 1; alas" in output
    assert "2 trials, 2 skipped" in output


def test_metric_that_is_nan_is_skipped(tried, monkeypatch, capsys):
    monkeypatch.setattr(
        module, "train_for_score", lambda c, *_: float("nan") if c.filled else 1.0
    )
    best = run(tune=("filled",))
    assert json.loads(best.read_text())["filled"] is False
    assert "1 trials, 1 skipped" in capsys.readouterr().out


def test_search_without_completed_trials_reports_why(tried, monkeypatch):
    def reject(config, *_):
        raise InputError("Memory ran out in training")

    monkeypatch.setattr(module, "train_for_score", reject)
    with pytest.raises(InputError, match="No trial was completed.*Memory ran out"):
        run(trials=5)


@pytest.mark.parametrize("error", [ZeroDivisionError("a fault"), OSError(28, "full")])
def test_errors_other_than_input_errors_end_the_search(error, tried, monkeypatch):
    def break_down(config, *_):
        raise error

    monkeypatch.setattr(module, "train_for_score", break_down)
    with pytest.raises(type(error), match=str(error).replace("[", r"\[")):
        run()


def test_promoted_trial_extends_its_run():
    config, space = SearchConfig(), {name: SPACE[name] for name in ("sides", "filled")}

    def proposed(**values):
        return trial_config(config, Config, trial_options(config, space, values))

    first = proposed(sides=4, filled=True, **{"tuner/epochs": 1})
    promoted = proposed(sides=4, filled=True, **{"tuner/epochs": 9})
    assert first.run_name == promoted.run_name and first.runs_dir == Path("runs/search")
    assert (first.epochs, promoted.epochs) == (1, 9) and promoted.resume
    other = proposed(sides=5, filled=True)
    assert other.run_name != first.run_name and other.epochs == 9


def test_options_that_do_not_go_together_are_skipped(tried, capsys):
    @dataclasses.dataclass(frozen=True)
    class Picky(Config):
        def __post_init__(self):
            if self.filled and self.sides == 3:
                raise InputError("Expected no triangle to be filled.")

    config = SearchConfig(tune=("filled", "sides"), trials=8)
    best = search(config, Picky, Task, SPACE)
    assert json.loads(best.read_text())["sides"] == 6
    output = capsys.readouterr().out
    assert "filled True, sides 3, epochs 9: Expected no triangle" in output
    assert "7 trials, 1 skipped" in output


@pytest.mark.parametrize(
    "variables",
    [
        {"KERASTUNER_TUNER_ID": "chief"},
        {
            "KERASTUNER_TUNER_ID": "a",
            "KERASTUNER_ORACLE_IP": "h",
            "KERASTUNER_ORACLE_PORT": "x",
        },
    ],
    ids=str,
)
def test_incomplete_environment_is_rejected(variables, tried, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="Expected KERASTUNER_TUNER_ID, .* Received"):
        run()
    assert not tried


def test_worker_does_not_wait_forever_for_a_chief(tried, monkeypatch):
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    monkeypatch.setattr(oracle_client, "TIMEOUT", 3600)  # restored after the test
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker-0")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "localhost")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "9")
    with pytest.raises(WorkerLost, match="The chief of the search did not answer"):
        run()
    assert not Path("runs").exists()


SMALL = ["--filters=2", "--depth=2", "--image-size=32", "--epochs=3", "--trials=5"]


@pytest.mark.slow
def test_chief_and_two_workers_search_together_and_best_is_trained(tmp_path):
    def call(script, *options):
        return subprocess.run(
            [sys.executable, ROOT / "scripts" / script, *options],
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    tune = [sys.executable, str(ROOT / "scripts/tune_unet.py"), *SMALL]
    tune += ["--tune", "down", "loss", "learning_rate"]
    answer = call("launch_local.py", "--search", "--workers=2", "--", *tune)
    assert answer.returncode == 0, answer.stderr
    assert "5 trials, 0 skipped" in answer.stdout
    assert "Traceback" not in answer.stderr
    folder = tmp_path / "runs/tune_unet"
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 5
    assert {row["run"] for row in rows} == {
        path.name for path in folder.iterdir() if path.is_dir()
    }
    best = folder / "best.json"
    answer = call("train_unet.py", "--config", str(best), "--epochs=1", "--name=best")
    assert answer.returncode == 0, answer.stderr
    options = json.loads((tmp_path / "runs/best/config.json").read_text())
    assert options["loss"] == rows[0]["loss"] and options["filters"] == 2
