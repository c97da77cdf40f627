"""Curves and provenance."""

import re
import subprocess
from importlib.metadata import version

import numpy as np
from PIL import Image
from tiny import BareConfig

from train_tf.run import report
from train_tf.run.report import (
    PROJECT,
    draw_curves,
    draw_trials,
    provenance,
    share_explained,
)


def test_curves_are_drawn_for_one_epoch_and_for_many(tmp_path):
    for count in (1, 5):
        history = [
            {"epoch": e, "loss": 1 / e, "val_loss": 2 / e} for e in range(1, count + 1)
        ]
        draw_curves(tmp_path / f"{count}.png", history, {"loss": "loss"}, count)
        with Image.open(tmp_path / f"{count}.png") as picture:
            assert picture.width > 300
            assert len(picture.convert("RGB").getcolors(10**6)) > 10


def test_trials_are_drawn_over_words_truths_and_ranges(monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "save_figure", lambda x, path: drawn.append(x))
    rows = [
        {"augment": n < 5, "rate": 0.01 * n, "mean_iou": 0.5 - 0.01 * n, "epochs": e}
        for n, e in enumerate((9, 9, 3, 9, 9, 9, 9, 9), start=1)
    ]
    draw_trials("x.png", rows, ["augment", "rate"], "mean_iou", given=rows[3])
    words, range_ = drawn[0].axes
    assert words.get_title().startswith("augment\n") and range_.get_xscale() == "log"
    assert [text.get_text() for text in words.get_xticklabels()] == ["False", "True"]
    short, whole, best, given = range_.lines
    assert len(short.get_xdata()) == 1 and short.get_ydata() == [0.5 - 0.03]
    assert len(whole.get_xdata()) == 7 and whole.get_label() == "9 epochs"
    assert (best.get_xdata(), given.get_xdata()) == ([0.01], [0.04])
    assert words.lines[3].get_xdata() == [1]  # True stands right of False


def test_single_trial_is_drawn(tmp_path):
    row = {"loss": "dice", "mean_iou": 0.5, "epochs": 2}
    draw_trials(tmp_path / "x.png", [row], ["loss"], "mean_iou")
    with Image.open(tmp_path / "x.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 10


def test_share_of_the_differences_that_groups_explain():
    groups = np.array([0, 0, 1, 1])
    assert share_explained(groups, np.array([1.0, 1.0, 3.0, 3.0])) == 1
    assert share_explained(groups, np.array([1.0, 3.0, 1.0, 3.0])) == 0
    # Within the groups 4 of squares for 2 degrees of freedom, in all 8 for 3.
    assert share_explained(groups, np.array([0.0, 2.0, 2.0, 4.0])) == 0.25
    assert share_explained(groups, np.array([2.0, 2.0, 2.0, 2.0])) == 0


def test_share_is_not_told_of_groups_of_one():
    assert np.isnan(share_explained(np.arange(4), np.array([1.0, 5.0, 2.0, 4.0])))


def test_chance_explains_nothing():
    lot = np.random.default_rng(0)
    shares = [share_explained(np.arange(8) % 4, lot.random(8)) for _ in range(300)]
    assert np.mean(shares) < 0.25  # plain eta squared: 0.43


def test_provenance_names_no_folder_of_this_machine(monkeypatch):
    script = PROJECT / "scripts" / "train_unet.py"
    monkeypatch.setattr("sys.argv", [str(script), "--epochs", "3"])
    assert (
        provenance(BareConfig(PROJECT))["command"]
        == "python scripts/train_unet.py --epochs 3"
    )


def test_provenance_names_command_versions_and_processor():
    told = provenance(BareConfig(PROJECT, epochs=4), "pillow")
    assert told["config"]["epochs"] == 4
    assert told["command"].startswith("python ")
    assert told["versions"]["pillow"] == version("pillow")
    assert told["instructions"] == sorted(told["instructions"])
    assert told["versions"]["keras"] == version("keras")
    assert told["processor"]
    assert 0 < told["minutes"] < 24 * 60


def test_provenance_names_the_commit_and_whether_code_was_changed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(report, "PROJECT", tmp_path)
    assert provenance(BareConfig(PROJECT))["commit"] is None
    (tmp_path / "results").mkdir()
    for file in ("code.py", "results/figures.json"):
        (tmp_path / file).write_text("1")
    git = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "results" / "figures.json").write_text("2")
    commit = provenance(BareConfig(PROJECT))["commit"]
    assert re.fullmatch("[0-9a-f]{12}", commit)
    (tmp_path / "code.py").write_text("2")
    assert provenance(BareConfig(PROJECT))["commit"] == f"{commit}-dirty"
