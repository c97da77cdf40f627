"""Training speed of the UNet beside the same network in PyTorch; see --help.

All train on one repeated batch of noise, with softmax cross-entropy and AdamW; ours
once more as `train_unet.py` does, with Dice and Muon; and the article's own network,
which is another, of as many filters. That ours and PyTorch's are the same is checked
first, by their answers to one picture under the same weights.
"""

import dataclasses
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Literal

from train_tf import command_line

PROGRAM = Path(__file__).with_name("unet_contenders.py")
CONTENDERS = (
    "ours",
    "ours, Dice and Muon",
    "article",
    "torch eager",
    "torch compile",
)


@dataclasses.dataclass(frozen=True)
class BenchUNetConfig:
    """Let our UNet and PyTorch's train in turns, and compare their speeds."""

    filters: tuple[int, ...] = (16, 32)
    """Channels of the first level."""

    down: tuple[Literal["maxpool", "strided"], ...] = ("maxpool", "strided")
    """Ways down."""

    up: tuple[Literal["transpose", "upsample"], ...] = ("transpose", "upsample")
    """Ways up."""

    precision: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Precisions; those that the processor has no instructions for are left out."""

    batch_size: int = 16
    """Images a step."""

    rounds: int = 5
    """Turns of each contender."""

    steps: int = 8
    """Training steps a turn."""

    out: Path = Path("results/bench_unet.json")
    """Where the figures go."""


def main(config):
    """Compare all that was asked for."""
    from interleaved import Contender, compare
    from machine import peaks_of

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    peaks = peaks_of(config.precision)
    for precision, peak in peaks.items():
        print(f"{precision}: {peak / 1e9:.0f} G multiplications a second at the most")
    rows = []
    for filters, down, up, precision in itertools.product(
        config.filters, config.down, config.up, peaks
    ):
        with tempfile.TemporaryDirectory() as folder:
            task = {
                "filters": filters,
                "down": down,
                "up": up,
                "precision": precision,
                "batch_size": config.batch_size,
                "weights": str(Path(folder) / "weights.npz"),
            }
            contenders = {
                name: Contender([sys.executable, PROGRAM, name, json.dumps(task)])
                for name in CONTENDERS
            }
            measured = compare(contenders, config.rounds, config.steps)
        work = {
            name: contender.about.get("macs") or contenders["ours"].about["macs"]
            for name, contender in contenders.items()
        }
        for contender in contenders.values():
            contender.end()
        for name, row in measured.items():
            rate = config.batch_size / row["seconds"]
            share = 3 * work[name] * rate / peaks[precision]
            rows.append(
                {
                    "filters": filters,
                    "down": down,
                    "up": up,
                    "precision": precision,
                    "contender": name,
                    "images_per_second": round(rate, 1),
                    "share_of_most": round(share, 3),
                    "speed_beside_ours": round(1 / row["ratio"], 3),
                    "least": round(1 / row["most"], 3),
                    "most": round(1 / row["least"], 3),
                }
            )
            print(_line(rows[-1]), flush=True)
    about = {**provenance(config, "torch"), "macs_per_second": peaks}
    write_json(config.out, {**about, "batch_size": config.batch_size, "rows": rows})


def _line(row):
    return (
        "{filters} filters, {down}, {up}, {precision}: {contender:20} "
        "{images_per_second:6.1f} images/s, {share_of_most:.0%} of the most, "
        "{speed_beside_ours:.2f} ({least:.2f} to {most:.2f}) of our speed"
    ).format(**row)


if __name__ == "__main__":
    sys.exit(command_line.run(BenchUNetConfig, main))
