"""Curves and provenance."""

import re
import subprocess
from importlib.metadata import version

from PIL import Image
from tiny import BareConfig

from train_tf.run import report
from train_tf.run.report import (
    PROJECT,
    draw_curves,
    provenance,
)


def test_curves_are_drawn_for_one_epoch_and_for_many(tmp_path):
    for count in (1, 5):
        history = [
            {"epoch": e, "loss": 1 / e, "val_loss": 2 / e} for e in range(1, count + 1)
        ]
        draw_curves(tmp_path / f"{count}.png", history, {"loss": "loss"}, count)
        with Image.open(tmp_path / f"{count}.png") as figure:
            assert figure.width > 300
            assert len(figure.convert("RGB").getcolors(10**6)) > 10


def test_provenance_names_no_folder_of_this_machine(monkeypatch):
    script = PROJECT / "scripts" / "train_unet.py"
    monkeypatch.setattr("sys.argv", [str(script), "--epochs", "3"])
    assert (
        provenance(BareConfig(PROJECT))["command"]
        == "python scripts/train_unet.py --epochs 3"
    )


def test_provenance_names_command_versions_and_processor():
    described = provenance(BareConfig(PROJECT, epochs=4), "pillow")
    assert described["config"]["epochs"] == 4
    assert described["command"].startswith("python ")
    assert described["versions"]["pillow"] == version("pillow")
    assert described["instructions"] == sorted(described["instructions"])
    assert described["versions"]["keras"] == version("keras")
    assert described["processor"]
    assert 0 < described["minutes"] < 24 * 60


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
