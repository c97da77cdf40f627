"""The reference notebook's own curves: its notebooks' -ELBO, epoch by epoch, from their event files.

They stand in https://github.com/sdev2030/ERA1_Transformer_PLUS: clone it, and name its
folder session18_assignment. What was logged is the figure of every fiftieth training
batch of 32 images; there was no validation.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from train_tf import command_line
from train_tf.errors import InputError

LOGGED = {"mnist": 30, "cifar10": 25}  # batches of an epoch


@dataclasses.dataclass(frozen=True)
class SeedCurvesConfig:
    """Read the event files of the seed's trainings."""

    logs: Annotated[Path, tyro.conf.Positional]
    """The folder with mnist_lightning_logs and cifar10_lightning_logs."""

    out: Path = Path("results/seed_curves.json")
    """Where the curves go."""


def main(config):
    from cvae_tf.config import SEED
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    curves = {dataset: means(config.logs, dataset) for dataset in SEED}
    for dataset, curve in curves.items():
        print(
            f"{dataset}: {len(curve)} epochs, -ELBO {curve[0]:.1f} to {curve[-1]:.1f}"
        )
    about = {**provenance(config), "batches an epoch": LOGGED}
    write_json(config.out, {**about, "negative_elbo": curves})


def means(logs, dataset):
    """The mean -ELBO of the logged batches of each epoch, nats an image."""
    import numpy as np
    from tensorboard.backend.event_processing import event_accumulator

    files = sorted(logs.glob(f"{dataset}_lightning_logs/*/events.out.tfevents.*"))
    if len(files) != 1:
        raise InputError(
            f"Expected one event file in {logs}/{dataset}_lightning_logs/version_*. "
            f"Found {len(files)}."
        )
    events = event_accumulator.EventAccumulator(
        str(files[0]), size_guidance={event_accumulator.SCALARS: 0}
    ).Reload()
    values = [event.value for event in events.Scalars("elbo")]
    if not values or len(values) % LOGGED[dataset]:
        raise InputError(
            f"Expected {LOGGED[dataset]} values an epoch in {files[0]}. Found "
            f"{len(values)}: it is cut short."
        )
    return np.reshape(values, (-1, LOGGED[dataset])).mean(1).round(1).tolist()


if __name__ == "__main__":
    sys.exit(command_line.run(SeedCurvesConfig, main))
