"""A search: the best of its trials is found, and going on repeats no training."""

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

from train_tf.config import Between, RunConfig, SearchOptions
from train_tf.errors import InputError, WorkerLost
from train_tf.search import search as module
from train_tf.search import trials
from train_tf.search.search import own_options, search, trial_config

SPACE = {
    "shape": ("round", "square"),
    "sides": (3, 4, 5, 6),
    "filled": (True, False),
    "learning_rate": Between(1e-3, 1e-1),
}


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    """A training."""

    shape: str = "round"
    sides: int = 3
    filled: bool = True


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
    """Trainings of which nobody asks more than this."""

    monitor, mode = "val_beauty", "max"

    def __init__(self, config):
        self.split = {"train": f"of {config.data_dir}"}

    @staticmethod
    def tracked_options(config):
        return {name: getattr(config, name) for name in SPACE}


class Ugliness(Task):
    monitor, mode = "val_ugliness", "min"


@pytest.fixture
def tried(monkeypatch):
    """The configs that were trained, in the place of trainings."""
    configs = []

    def best_value(config, task_class, like):
        assert isinstance(like, task_class)  # whose data are those of all trials
        configs.append(config)
        return config.sides + 10 * config.filled + config.learning_rate

    monkeypatch.setattr(module, "best_value", best_value)
    monkeypatch.setattr(trials, "draw_trials", lambda path, *_: path.write_bytes(b""))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(module.keras.backend, "clear_session", lambda: None)
    return configs


def run(task=Task, **options):
    return search(SearchConfig(**options), Config, task, SPACE)


@pytest.mark.parametrize("task", [Task, Ugliness])
@pytest.mark.parametrize("method", ["hyperband", "bayesian", "random"])
def test_best_of_all_trials_is_found(method, task, tried, capsys):
    best = run(task, method=method, trials=8)
    in_full = method == "hyperband"  # as given, too, at the end
    assert best == Path("runs/search/best.json") and len(tried) == 8 + in_full
    choose = max if task.mode == "max" else min
    winner = choose(tried, key=lambda c: c.sides + 10 * c.filled + c.learning_rate)
    found = json.loads(best.read_text())
    assert {name: found[name] for name in SPACE} == {
        name: getattr(winner, name) for name in SPACE
    }
    rows = list(csv.DictReader(best.with_name("trials.csv").open()))
    figures = [float(row[task.monitor.removeprefix("val_")]) for row in rows]
    assert figures == sorted(figures, reverse=task.mode == "max")
    assert rows[0]["run"] == winner.name
    assert best.with_name("trials.png").exists()
    assert f"{8 + in_full} trials, 0 skipped" in capsys.readouterr().out
    assert {type(config.filled) for config in tried} == {bool}
    assert all(1e-3 <= config.learning_rate <= 1e-1 for config in tried)


def test_best_options_are_those_of_a_training_and_not_of_one_run(tried):
    found = json.loads(run().read_text())
    of_run = {"config", "epochs", "name", "resume", "runs_dir", "saved_models_dir"}
    of_run |= {"strategy"}
    names = {field.name for field in dataclasses.fields(Config)}
    assert found.keys() == names - of_run


def test_search_goes_on_with_the_data_that_it_began_with(tried):
    best = run(trials=3, data_dir=Path("here"))
    assert json.loads(best.read_text())["data_dir"] == "here"
    tried.clear()
    with pytest.raises(InputError, match="search was started with other data.* train "):
        run(trials=5, data_dir=Path("there"), resume=True)
    assert not tried
    run(trials=5, data_dir=Path("here"), resume=True)
    assert len(tried) == 5


def test_search_goes_on_by_the_method_that_it_began_with(tried):
    """More trials than there are combinations would be proposed at random."""
    few = {"tune": ("shape", "sides"), "method": "hyperband"}
    run(trials=4, **few)
    before = [config.name for config in tried]
    tried.clear()
    run(trials=9, resume=True, **few)
    assert [config.name for config in tried][:4] == before[:4]
    assert json.loads(Path("runs/search/config.json").read_text())["proposed_by"] == (
        "hyperband"
    )


def test_options_that_are_not_searched_are_as_given(tried):
    run(tune=("sides",), shape="square", trials=3)
    assert {config.shape for config in tried} == {"square"}
    assert len({config.sides for config in tried}) == 3


@pytest.mark.parametrize("method", ["hyperband", "bayesian", "random"])
def test_search_starts_from_the_options_given(method, tried, capsys):
    given = {"shape": "square", "sides": 4, "filled": False, "learning_rate": 0.02}
    run(method=method, trials=5, **given)
    first, *others = tried
    assert {name: getattr(first, name) for name in SPACE} == given
    assert "As given:    beauty 4.02, epochs" in capsys.readouterr().out
    if method == "random":  # what is drawn for the others does not depend on it
        tried.clear()
        run(method=method, trials=5, name="by_lot", **given | {"sides": 9})
        assert [x.name for x in tried[1:]] == [x.name for x in others]


def test_options_given_are_trained_in_full_though_hyperband_passes_them_over(
    tried, capsys
):
    given = {"shape": "square", "sides": 3, "filled": False, "learning_rate": 0.001}
    run(method="hyperband", trials=5, **given)  # the worst that there are
    assert [config.epochs == 9 for config in (tried[0], tried[-1])] == [False, True]
    assert tried[0].name == tried[-1].name
    assert "6 trials, 0 skipped" in capsys.readouterr().out
    run(method="hyperband", trials=8, resume=True, **given)
    assert tried[-1].epochs == 9 and tried[0].name == tried[-1].name


def test_options_given_that_break_in_full_are_skipped(tried, monkeypatch, capsys):
    def break_late(config, *_):
        if config.epochs == 9 and config.sides == 3:
            raise InputError("The loss became nan at step 3 of epoch 9; alas")
        return float(config.sides)

    monkeypatch.setattr(module, "best_value", break_late)
    run(method="hyperband", trials=3)
    assert "3 trials, 1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize("given", [{"sides": 9}, {"learning_rate": 0.5}], ids=str)
def test_search_starts_by_lot_from_options_out_of_its_space(given, tried, capsys):
    run(trials=2, **given)
    assert all(config.sides in SPACE["sides"] for config in tried)
    assert all(config.learning_rate <= 0.1 for config in tried)
    told = capsys.readouterr().out
    assert "As given" not in told and "options as given are not among" in told


def test_search_ends_when_all_there_is_was_tried(tried):
    run(tune=("filled",), trials=20)
    assert len(tried) == 2


def test_few_options_are_all_trained_in_full(tried):
    run(tune=("sides", "filled"), method="hyperband", trials=30, epochs=9)
    assert len(tried) == len({(c.sides, c.filled) for c in tried}) > 4
    assert {config.epochs for config in tried} == {9}


def test_trial_that_is_proposed_again_counts_once(tmp_path):
    report = trials.TrialReport(tmp_path, {}, "val_beauty", "max")
    for epochs in (2, 6, 6):
        report.add("a1b2", {"sides": 3, "epochs": epochs}, 0.5, None)
    assert [row["epochs"] for row in report.rows] == [2, 6]


def test_table_of_a_search_that_goes_on_is_never_shorter_than_it_was(tmp_path):
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


def test_worker_tells_why_a_trial_failed(tried, monkeypatch, capsys):
    def too_large(config, *_):
        raise InputError("Expected a smaller batch.")

    monkeypatch.setattr(module, "best_value", too_large)
    monkeypatch.setattr(module, "_role", lambda: "worker")
    assert run(trials=2) is None
    told = capsys.readouterr().err
    assert told.count("Trial skipped: Expected a smaller batch.") == 2


def test_folder_is_free_when_the_search_is_over(tried, monkeypatch):
    locks, take = [], module.take
    monkeypatch.setattr(module, "take", lambda *x: locks.append(take(*x)) or locks[-1])
    run()
    assert [lock.is_locked for lock in locks] == [False]


@pytest.mark.parametrize("method", ["hyperband", "bayesian", "random"])
def test_going_on_asks_for_the_same_runs_and_for_more(method, tried):
    run(method=method, trials=5)
    run(method=method, trials=8, resume=True)
    first = 5 + (method == "hyperband")
    assert len(tried) == first + 8 + (method == "hyperband")
    assert tried[first : first + 5] == tried[:5]


def test_search_that_is_there_is_not_overwritten(tried):
    run()
    with pytest.raises(InputError, match="There is a search in .*--resume"):
        run()


def test_changed_space_is_refused_by_name(tried):
    run()
    with pytest.raises(InputError, match="--tune: .*sides.* before, .* now"):
        run(resume=True, tune=("shape", "filled"))
    narrow = {**SPACE, "sides": (3, 4)}
    with pytest.raises(InputError, match=r"--space: .*\[3, 4, 5, 6\].* now"):
        search(SearchConfig(resume=True), Config, Task, narrow)


def test_trial_that_breaks_is_skipped_and_said(tried, monkeypatch, capsys):
    def break_for_some(config, *_):
        if config.sides < 5:
            raise InputError("The loss became nan at step 3 of epoch 1; alas")
        return config.sides

    monkeypatch.setattr(module, "best_value", break_for_some)
    best = run(tune=("sides",), trials=4)
    assert json.loads(best.read_text())["sides"] == 6
    said = capsys.readouterr().out
    assert said.count("skipped: sides 3") == 1 and "epoch 1; alas" in said
    assert "2 trials, 2 skipped" in said


def test_figure_that_is_no_number_is_skipped(tried, monkeypatch, capsys):
    monkeypatch.setattr(
        module, "best_value", lambda c, *_: float("nan") if c.filled else 1.0
    )
    best = run(tune=("filled",))
    assert json.loads(best.read_text())["filled"] is False
    assert "1 trials, 1 skipped" in capsys.readouterr().out


def test_search_without_any_figure_says_why(tried, monkeypatch):
    def refuse(config, *_):
        raise InputError("Memory ran out in training")

    monkeypatch.setattr(module, "best_value", refuse)
    with pytest.raises(InputError, match="No trial came to an end.*Memory ran out"):
        run(trials=5)


@pytest.mark.parametrize("error", [ZeroDivisionError("a fault"), OSError(28, "full")])
def test_what_is_no_fault_of_the_options_ends_the_search(error, tried, monkeypatch):
    def break_down(config, *_):
        raise error

    monkeypatch.setattr(module, "best_value", break_down)
    with pytest.raises(type(error), match=str(error).replace("[", r"\[")):
        run()


def test_promoted_trial_goes_on_with_its_run():
    config, space = SearchConfig(), {name: SPACE[name] for name in ("sides", "filled")}

    def proposed(**values):
        own = own_options(config, space, values)
        return trial_config(config, Config, own)

    first = proposed(sides=4, filled=True, **{"tuner/epochs": 1})
    promoted = proposed(sides=4, filled=True, **{"tuner/epochs": 9})
    assert first.name == promoted.name and first.runs_dir == Path("runs/search")
    assert (first.epochs, promoted.epochs) == (1, 9) and promoted.resume
    other = proposed(sides=5, filled=True)
    assert other.name != first.name and other.epochs == 9


def test_options_that_do_not_go_together_are_skipped(tried, capsys):
    @dataclasses.dataclass(frozen=True)
    class Picky(Config):
        def __post_init__(self):
            if self.filled and self.sides == 3:
                raise InputError("Expected no triangle to be filled.")

    config = SearchConfig(tune=("filled", "sides"), trials=8)
    best = search(config, Picky, Task, SPACE)
    assert json.loads(best.read_text())["sides"] == 6
    said = capsys.readouterr().out
    assert "filled True, sides 3, epochs 9: Expected no triangle" in said
    assert "7 trials, 1 skipped" in said


@pytest.mark.parametrize(
    "given",
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
def test_environment_that_is_not_whole_is_refused(given, tried, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="Expected KERASTUNER_TUNER_ID, .* Received"):
        run()
    assert not tried


def test_chief_that_does_not_come_is_not_waited_for_for_ever(tried, monkeypatch):
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    monkeypatch.setattr(oracle_client, "TIMEOUT", 3600)  # comes back after the test
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
