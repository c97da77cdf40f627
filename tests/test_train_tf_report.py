"""Curves and provenance."""

from importlib.metadata import version

from PIL import Image

from train_tf.report import PROJECT, draw_curves, provenance


def test_curves_are_drawn_for_one_epoch_and_for_many(tmp_path):
    for count in (1, 5):
        history = [
            {"epoch": e, "loss": 1 / e, "val_loss": 2 / e} for e in range(1, count + 1)
        ]
        draw_curves(tmp_path / f"{count}.png", history, {"loss": "loss"}, count)
        with Image.open(tmp_path / f"{count}.png") as picture:
            assert picture.width > 300
            assert len(picture.convert("RGB").getcolors(10**6)) > 10


def test_provenance_names_no_folder_of_this_machine(monkeypatch):
    script = PROJECT / "scripts" / "train_unet.py"
    monkeypatch.setattr("sys.argv", [str(script), "--epochs", "3"])
    assert provenance()["command"] == "python scripts/train_unet.py --epochs 3"


def test_provenance_names_command_versions_and_processor():
    told = provenance()
    assert told["command"].startswith("python ")
    assert told["versions"]["keras"] == version("keras")
    assert told["processor"]
