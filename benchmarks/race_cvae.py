"""How soon the VAEs reach the seed's own figure; see --help.

The compact network trains on real images until it reaches the seed's last figure on
held-out ones, and then the seed's design, in PyTorch, as far as it gets in `--patience`
times as long. Starting and compiling are not counted, nor is looking at the figure.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line
from train_tf.errors import InputError

PROGRAM = Path(__file__).with_name("cvae_contenders.py")
OURS, THEIRS = "ours compact", "torch eager"
STEPS = {OURS: 10, THEIRS: 100}  # between two looks


@dataclasses.dataclass(frozen=True)
class RaceCVAEConfig:
    """Let our compact VAE and the seed's design train to the seed's figure."""

    dataset: Literal["mnist", "cifar10"] = "mnist"
    """The images."""

    patience: float = 10.0
    """How many times as long as ours the seed's design gets."""

    out: Path | None = None
    """Where the figures go; left out, results/race_cvae_<dataset>.json."""


def main(config):
    """Let one train after the other."""
    from train_tf.devices import resolve_precision
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    precision = resolve_precision("auto")
    out = config.out or Path(f"results/race_cvae_{config.dataset}.json")
    ours = _reach(OURS, config.dataset, precision, 3600)
    if not ours["reached"]:
        raise InputError(f"Ours did not reach the seed's figure: {ours}")
    theirs = _reach(
        THEIRS, config.dataset, precision, config.patience * ours["seconds"]
    )
    print(
        f"{config.dataset}: ours reached the seed's figure in {ours['seconds']:.0f} s; "
        f"its design, {'in' if theirs['reached'] else 'not in'} "
        f"{theirs['seconds']:.0f} s"
    )
    told = {"precision": precision}
    write_json(out, {**provenance(config, "torch"), **told, OURS: ours, THEIRS: theirs})


def _reach(name, dataset, precision, patience):
    """Train until the figure is reached, or so many seconds are over."""
    task = {
        "dataset": dataset,
        "precision": precision,
        "steps": STEPS[name],
        "patience": patience,
    }
    command = [sys.executable, str(PROGRAM), "reach", name, json.dumps(task)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if answer.returncode:
        raise InputError(f"{name} ended without an answer; what it said is above.")
    return json.loads(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(command_line.run(RaceCVAEConfig, main))
