"""A block, a loss, a likelihood and a data set are added as CONTRIBUTING.md says."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from tiny import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ADDITIONS = re.findall(r"Append to `(.+?)`:\n\n```python\n(.+?)```", PAGE, re.DOTALL)
TRAININGS = {
    "unet": ("--down", "average", "--loss", "jaccard"),
    "cvae": ("--likelihood", "laplace", "--dataset", "fashion_mnist"),
}
TINY = {
    "unet": ("--filters", "2", "--depth", "2", "--image-size", "32"),
    "cvae": ("--latents", "2", "--detail-latents", "1", "--batch-size", "76"),
}


@pytest.fixture
def extended_clone(tmp_path):
    """A copy of the code to which the page's examples are appended."""
    for folder in ("scripts", "train_tf", "unet_tf", "cvae_tf", "datasets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    assert len(ADDITIONS) == 4
    for file, code in ADDITIONS:
        with open(tmp_path / file, "a", encoding="utf-8") as opened:
            opened.write("\n\n" + code)
    return tmp_path


def run_in(clone, *command):
    environment = {"PYTHONPATH": str(clone), "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(
        [sys.executable, *command],
        cwd=clone,
        env={**environment, "HOME": str(clone)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("model", TRAININGS)
def test_additions_are_choices_of_the_command_line(model, extended_clone):
    code = (
        "import sys\n"
        "from train_tf import command_line\n"
        f"from {model}_tf.config import {model.upper().replace('NET', 'Net')}Config\n"
        "run = command_line.run\n"
        f"status = run({model.upper().replace('NET', 'Net')}Config, print, False)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
        "sys.exit(status)\n"
    )
    printed = run_in(extended_clone, "-c", code, *TRAININGS[model])
    for value in TRAININGS[model][1::2]:
        assert f"'{value}'" in printed


@pytest.mark.slow
@pytest.mark.parametrize("model", TRAININGS)
def test_additions_train(model, extended_clone, small_sets):
    # The data set of the page is not bundled: MNIST's files stand in for its.
    shutil.copytree(small_sets / "mnist", extended_clone / "datasets" / "fashion_mnist")
    for info in (extended_clone / "datasets/fashion_mnist").rglob("dataset_info.json"):
        about = json.loads(info.read_text())
        info.write_text(json.dumps({**about, "name": "fashion_mnist"}))
        for file in info.parent.glob("mnist-*"):
            file.rename(file.with_name(f"fashion_{file.name}"))
    training = (f"scripts/train_{model}.py", *TRAININGS[model], *TINY[model])
    run_in(extended_clone, *training, "--epochs", "1", "--data-dir", "datasets")
    (results,) = extended_clone.glob("runs/*/results.json")
    assert json.loads(results.read_text())["epochs"] == 1
