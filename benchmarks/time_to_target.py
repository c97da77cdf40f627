"""Time to the reference notebook's -ELBO; see --help.

First the compact network trains on real images until it reaches, on held-out images,
the -ELBO that the reference notebook reports at its end. Then the re-implementation, in
PyTorch, trains for up to `--timeout-factor` times as long. Start-up, compilation and
evaluations are not counted.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from cvae_implementations import time_to_target

from train_tf import command_line
from train_tf.errors import InputError

OURS, THEIRS = "ours compact", "torch eager"
STEPS = {OURS: 10, THEIRS: 100}  # between two evaluations
LONGEST = 3600  # seconds, for ours


@dataclasses.dataclass(frozen=True)
class TimeToTargetConfig:
    """Train our compact VAE and the PyTorch one to the reference notebook's -ELBO."""

    dataset: Literal["mnist", "cifar10"] = "mnist"
    """Data set to train on."""

    timeout_factor: float = 10.0
    """Time limit of the PyTorch VAE, in multiples of our time."""

    out: Path | None = None
    """JSON file to write; by default results/time_to_target_<dataset>.json."""


def main(config):
    from interleaved import new_process

    from train_tf.devices import resolve_precision
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    precision = resolve_precision("auto")
    out = config.out or Path(f"results/time_to_target_{config.dataset}.json")

    def reach(name, timeout):
        task = {
            "dataset": config.dataset,
            "precision": precision,
            "steps": STEPS[name],
            "timeout": timeout,
        }
        with new_process() as process:
            return process.submit(time_to_target, name, task).result()

    ours = reach(OURS, LONGEST)
    if not ours["reached"]:
        raise InputError(f"Ours did not reach the notebook's -ELBO: {ours}")
    theirs = reach(THEIRS, config.timeout_factor * ours["seconds"])
    print(
        f"{config.dataset}: ours reached the notebook's -ELBO in "
        f"{ours['seconds']:.0f} s; PyTorch "
        f"{'reached' if theirs['reached'] else 'did not reach'} it in "
        f"{theirs['seconds']:.0f} s"
    )
    content = {**provenance(config, "torch"), "precision": precision}
    write_json(out, {**content, OURS: ours, THEIRS: theirs})


if __name__ == "__main__":
    sys.exit(command_line.run(TimeToTargetConfig, main))
