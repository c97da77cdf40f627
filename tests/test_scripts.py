"""Each script: its output, its files and its exit status."""

import json
import re
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny import ROOT, write_photos_and_masks
from tiny import run_script as run

from train_tf import command_line
from train_tf.files import write_json
from unet_tf.config import UNetConfig

TINY = [
    "--filters",
    "2",
    "--depth",
    "2",
    "--image-size",
    "32",
    "--epochs",
    "1",
    "--name",
    "tiny",
]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))


HEAVY = {"tensorflow", "keras", "numpy", "matplotlib", "PIL"}


@pytest.fixture
def run_here(monkeypatch, capsys):
    """As `run`, but in this process, which has imported TensorFlow already."""

    def run_here(folder, script, *arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
        return subprocess.CompletedProcess(script, end.value.code, *capsys.readouterr())

    return run_here


def test_help_of_every_script_answers_without_starting_tensorflow(tmp_path):
    code = (
        "import runpy, sys\n"
        "for script in sys.argv[1:]:\n"
        "    sys.argv = [script, '--help']\n"
        "    try: runpy.run_path(script, run_name='__main__')\n"
        "    except SystemExit as end: print('status', end.code)\n"
        "print('imported', *sys.modules)\n"
    )
    scripts = [ROOT / "scripts" / script for script in SCRIPTS]
    answer = subprocess.run(
        [sys.executable, "-c", code, *scripts], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert [x for x in answer.stdout.splitlines() if x.startswith("status")] == [
        "status 0"
    ] * len(SCRIPTS)
    for script in SCRIPTS:
        assert f"/{script} [-h]" in answer.stdout
    imported = set(answer.stdout.splitlines()[-1].split())
    assert "tyro" in imported and not imported & HEAVY


@pytest.mark.parametrize("script", ["train_unet.py", "check_serving.py"])
def test_wrong_flag_answers_without_starting_tensorflow(script, tmp_path):
    answer = run(tmp_path, script, "--no-such-flag", python=["-X", "importtime"])
    assert answer.returncode == 2 and "Traceback" not in answer.stderr
    imported = {line.split("|")[-1].strip() for line in answer.stderr.splitlines()}
    assert "tyro" in imported and not imported & HEAVY


@pytest.mark.parametrize("option", ["--down", "--up", "--loss", "--precision"])
def test_unknown_value_lists_the_choices(option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_unet.py", option, "banana"])
    with pytest.raises(SystemExit, match="2"):
        command_line.run(UNetConfig, print, tensorflow=False)
    message = capsys.readouterr().err
    assert "banana" in message and "Expected one of" in message


PAGES = sorted(
    page
    for pattern in ("README.md", "docs/*.md", "results/README.md", "datasets/README.md")
    for page in ROOT.glob(pattern)
)
PROGRAM = re.compile(r"^ *\$? ?.*?(python (?:scripts|experiments)/.*)$", re.MULTILINE)


def commands_of_pages():
    """Each command of a script or experiment in the code blocks of the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        fenced = re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, re.M | re.S)
        indented = re.findall(r"^    .*$", text, re.MULTILINE)
        for line in PROGRAM.findall("\n".join([*fenced, *indented])):
            command = line.split("  #")[0].removeprefix("python ").strip()
            yield command
            yield from command.split(" -- python ")[1:]


@pytest.mark.parametrize("command", dict.fromkeys(commands_of_pages()))
def test_commands_of_the_pages_have_valid_options(command, monkeypatch):
    script, *arguments = shlex.split(command)
    configs, run = [], command_line.run
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.setattr(
        command_line,
        "run",
        lambda config_class, *_, **__: run(config_class, configs.append, False),
    )
    if "--config" in arguments:
        write_json(arguments[arguments.index("--config") + 1], {})
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert len(configs) == 1


def test_training_then_prediction_as_the_readme_says(trained, tmp_path, run_here):
    config, results, output = trained
    for part in ("Data: oxford_iiit_pet", "Epoch 1/2", "| test, 298 images"):
        assert part in output
    [use] = [x for x in output.splitlines() if x.startswith("Use it:")]
    model = use.split("--model ")[1].split()[0]
    assert model == results["saved_model"]

    write_photos_and_masks(tmp_path / "own", count=2)
    answer = run(tmp_path, "predict_unet.py", "--model", model, tmp_path / "own/images")
    assert answer.returncode == 0, answer.stderr
    masks = sorted((tmp_path / "predictions/masks").iterdir())
    assert [mask.name for mask in masks] == ["0.png", "1.png"]
    assert Image.open(masks[0]).size == (24, 20)

    again = ["--name", config.run_name, "--runs-dir", config.runs_dir]
    answer = run_here(tmp_path, "train_unet.py", *again)
    assert answer.returncode == 2 and "--resume" in answer.stderr


def test_broken_image_ends_prediction_with_1(trained, tmp_path, run_here):
    images, _ = write_photos_and_masks(tmp_path, count=2)
    (images / "1.png").write_bytes(b"")
    answer = run_here(
        tmp_path, "predict_unet.py", "--model", trained[1]["saved_model"], images
    )
    assert answer.returncode == 1
    assert "1.png" in answer.stderr and "Traceback" not in answer.stderr
    assert "1 masks in predictions/masks" in answer.stdout


def test_broken_folder_ends_training_at_once_with_every_name(tmp_path, run_here):
    images, masks = write_photos_and_masks(tmp_path, count=6)
    photo = Image.fromarray(np.zeros((20, 24, 3), "uint8"))
    photo.save(images / "0.jpg")
    half = (images / "0.jpg").read_bytes()
    (images / "0.png").unlink()
    (images / "0.jpg").write_bytes(half[: len(half) // 2])
    (images / "1.png").write_bytes(b"")
    folders = ["--images", images, "--masks", masks]
    answer = run_here(tmp_path, "train_unet.py", *folders, *TINY)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    assert "0.jpg" in answer.stderr and "1.png" in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_data_folder_without_data_is_named(tmp_path, run_here):
    answer = run_here(
        tmp_path, "train_unet.py", "--data-dir", tmp_path / "empty", *TINY
    )
    assert answer.returncode == 2
    assert str(tmp_path / "empty" / "oxford_iiit_pet") in answer.stderr
    assert "prepare_data.py" in answer.stderr


@pytest.mark.slow
def test_wrong_labels_are_drawn_and_evaluated(trained_cvae, small_sets, tmp_path):
    config, results, _ = trained_cvae
    model = results["saved_model"]
    answer = run(
        tmp_path,
        "relabel_cvae.py",
        *["--model", model, "--count", 9, "--data-dir", small_sets],
    )
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "label accuracy" in answer.stdout
    out = tmp_path / "relabelled" / config.run_name
    assert {path.name for path in out.iterdir()} == {
        "wrong_labels.png",
        "all_labels.png",
        "scores.json",
    }
    scores = json.loads((out / "scores.json").read_text())
    assert 0 <= scores["label_accuracy"] <= 1 and 0 < scores["classifier_accuracy"] <= 1
    assert set(scores["style"]) == {"ink", "slant", "width"}


def test_own_image_is_drawn_under_a_label(trained_cvae, tmp_path, run_here):
    Image.new("RGB", (50, 40), "white").save(tmp_path / "mine.png")
    answer = run_here(
        tmp_path,
        "relabel_cvae.py",
        *["--model", trained_cvae[1]["saved_model"], "--image", "mine.png"],
        *["--out", "out", "--label", 3],
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out" / "mine_as_3.png").exists()


def test_vae_is_trained_as_the_readme_says(trained_cvae):
    _, _, output = trained_cvae
    for part in ("Data: mnist", "Epoch 1/2", "100 test images", "Evaluate it:"):
        assert part in output


def test_export_is_compared_in_a_folder_of_the_model_s_name(
    trained, tmp_path, run_here
):
    model = trained[1]["saved_model"]
    answer = run_here(
        tmp_path, "export_model.py", "--model", model, "--format", "saved_model"
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "exports/pets/saved_model/saved_model.pb").exists()
    comparison = json.loads(
        (tmp_path / "exports/pets/comparison_none.json").read_text()
    )
    assert list(comparison["runtimes"]) == ["SavedModel", "saved_model"]
    again = run_here(
        tmp_path, "export_model.py", "--model", model, "--format", "saved_model"
    )
    assert again.returncode == 2 and "there already" in again.stderr


def test_check_of_models_goes_on_after_a_broken_one(tmp_path, run_here):
    for name in ("one", "two"):
        version = tmp_path / "saved_models" / name / "1"
        version.mkdir(parents=True)
        (version / "saved_model.pb").write_bytes(b"no SavedModel")
    answer = run_here(tmp_path, "check_serving.py")
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == "saved_models/one/1" and lines[1].startswith("  FAILED: ")
    assert sum(line.startswith("  FAILED: ") for line in lines) == 2
    assert "saved_models/two/1" in lines
