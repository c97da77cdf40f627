"""Training speed of the VAEs beside the seed's design in PyTorch; see --help.

All train on one repeated batch of noise. That `--network resnet18` is the seed's
network is checked by their answers under the same weights.
"""

import dataclasses
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Literal

from train_tf import command_line

PROGRAM = Path(__file__).with_name("cvae_contenders.py")
CONTENDERS = ("ours compact", "ours resnet18", "torch eager", "torch compile")


@dataclasses.dataclass(frozen=True)
class BenchCVAEConfig:
    """Let our VAEs and the seed's design in PyTorch train in turns."""

    dataset: tuple[Literal["mnist", "cifar10"], ...] = ("mnist", "cifar10")
    """Images of which size."""

    precision: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Precisions; those that the processor has no instructions for are left out."""

    rounds: int = 5
    """Turns of each contender."""

    steps: int = 4
    """Training steps a turn."""

    out: Path = Path("results/bench_cvae.json")
    """Where the figures go."""


def main(config):
    """Compare all that was asked for."""
    from interleaved import Contender, compare
    from machine import peaks_of

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    peaks = peaks_of(config.precision)
    rows = []
    for dataset, precision in itertools.product(config.dataset, peaks):
        with tempfile.TemporaryDirectory() as folder:
            task = {
                "dataset": dataset,
                "precision": precision,
                "weights": str(Path(folder) / "weights.npz"),
            }
            # One after another: the peers are checked by what the second writes.
            contenders = {
                name: Contender(
                    [sys.executable, PROGRAM, "turn", name, json.dumps(task)]
                )
                for name in CONTENDERS
            }
            measured = compare(contenders, config.rounds, config.steps)
        about = {name: contender.about for name, contender in contenders.items()}
        for contender in contenders.values():
            contender.end()
        for name, row in measured.items():
            size = about[name]["batch_size"]
            rate = size / row["seconds"]
            rows.append(
                {
                    "dataset": dataset,
                    "precision": precision,
                    "contender": name,
                    "parameters": about[name]["parameters"],
                    "batch_size": size,
                    "images_per_second": round(rate, 1),
                }
            )
            if name == "ours resnet18":
                work = 3 * about[name]["macs"] * rate
                rows[-1]["share_of_most"] = round(work / peaks[precision], 3)
            print(_line(rows[-1]), flush=True)
    about = {**provenance(config, "torch"), "macs_per_second": peaks}
    write_json(config.out, {**about, "rows": rows})


def _line(row):
    return (
        "{dataset}, {precision}: {contender:14} {parameters:11,} weights, batches of "
        "{batch_size:3}: {images_per_second:7.1f} images/s"
    ).format(**row)


if __name__ == "__main__":
    sys.exit(command_line.run(BenchCVAEConfig, main))
