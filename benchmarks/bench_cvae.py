"""Training speed of the VAEs beside a re-implementation in PyTorch; see --help.

All train on one repeated batch of noise. In float32, before timing, our ResNet18
without the decoder's label and the re-implementation are given the same weights, and
must return the same outputs.
"""

import dataclasses
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Literal

from cvae_implementations import IMPLEMENTATIONS

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class BenchCVAEConfig:
    """Compare the training speed of our VAEs and the re-implementation in PyTorch."""

    dataset: tuple[Literal["mnist", "cifar10"], ...] = ("mnist", "cifar10")
    """Data sets whose image size is used."""

    precision: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Precisions; one that the processor has no instructions for is left out."""

    rounds: int = 5
    """Number of rounds; each implementation runs once in each round."""

    steps: int = 4
    """Training steps per round."""

    out: Path = Path("results/bench_cvae.json")
    """JSON file to write."""


def main(config):
    from interleaved import compare
    from machine import peaks_of

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    peaks = peaks_of(config.precision)
    rows = []
    for dataset, precision in itertools.product(config.dataset, peaks):
        case = {"dataset": dataset, "precision": precision}
        with tempfile.TemporaryDirectory() as folder:
            task = {**case, "weights": str(Path(folder) / "weights.npz")}
            programs = {name: (x, name, task) for name, x in IMPLEMENTATIONS.items()}
            measured = compare(programs, config.rounds, config.steps)
        for name, row in measured.items():
            rate = row["batch_size"] / row["seconds"]
            rows.append(
                {
                    **case,
                    "implementation": name,
                    "parameters": row["parameters"],
                    "batch_size": row["batch_size"],
                    "images_per_second": round(rate, 1),
                }
            )
            if name == "ours resnet18":
                share = 3 * row["macs"] * rate / peaks[precision]
                rows[-1]["share_of_peak"] = round(share, 3)
            print(_line(rows[-1]), flush=True)
    content = {**provenance(config, "torch"), "macs_per_second": peaks}
    write_json(config.out, {**content, "rows": rows})


def _line(row):
    return (
        "{dataset}, {precision}: {implementation:14} {parameters:11,} parameters, "
        "batches of {batch_size:3}: {images_per_second:7.1f} images/s"
    ).format(**row)


if __name__ == "__main__":
    sys.exit(command_line.run(BenchCVAEConfig, main))
