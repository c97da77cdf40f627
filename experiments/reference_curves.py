"""The reference notebook's -ELBO per epoch, from the event files of its trainings.

Clone https://github.com/sdev2030/ERA1_Transformer_PLUS and pass its folder
session18_assignment. It logged every fiftieth training batch of 32 images, and no
validation.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from train_tf import command_line
from train_tf.errors import InputError

BATCHES_PER_EPOCH = {"mnist": 30, "cifar10": 25}  # that were logged


@dataclasses.dataclass(frozen=True)
class ReferenceCurvesConfig:
    """Read the event files of the reference notebook's trainings."""

    logs: Annotated[Path, tyro.conf.Positional]
    """The folder with mnist_lightning_logs and cifar10_lightning_logs."""

    out: Path = Path("results/reference_curves.json")
    """The JSON file to write."""


def main(config):
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    curves = {x: read_curve(config.logs, x) for x in BATCHES_PER_EPOCH}
    for dataset, curve in curves.items():
        print(
            f"{dataset}: {len(curve)} epochs, -ELBO {curve[0]:.1f} to {curve[-1]:.1f}"
        )
    content = {"batches_per_epoch": BATCHES_PER_EPOCH, "negative_elbo": curves}
    write_json(config.out, {**provenance(config), **content})


def read_curve(logs, dataset):
    """The mean -ELBO of the logged batches of each epoch, nats per image."""
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
    batches = BATCHES_PER_EPOCH[dataset]
    if not values or len(values) % batches:
        raise InputError(
            f"Expected {batches} values per epoch in {files[0]}. Found {len(values)}: "
            "the file is incomplete."
        )
    return np.reshape(values, (-1, batches)).mean(1).round(1).tolist()


if __name__ == "__main__":
    sys.exit(command_line.run(ReferenceCurvesConfig, main))
