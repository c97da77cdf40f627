"""Training speed of the UNet beside the same network in PyTorch; see --help.

All train on one repeated batch of noise, with softmax cross-entropy and AdamW. Two more
implementations are ours with Dice and Muon, as `train_unet.py` trains, and the
article's network with as many filters. In float32, before timing, ours and PyTorch's
are given the same weights and must return the same logits for one image.
"""

import dataclasses
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Literal

from unet_implementations import IMPLEMENTATIONS

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class BenchUNetConfig:
    """Compare the training speed of our UNet and PyTorch's."""

    filters: tuple[int, ...] = (16, 32)
    """Channels of the first level."""

    down: tuple[Literal["maxpool", "strided"], ...] = ("maxpool", "strided")
    """Downsampling blocks."""

    up: tuple[Literal["transpose", "upsample"], ...] = ("transpose", "upsample")
    """Upsampling blocks."""

    precision: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Precisions; one that the processor has no instructions for is left out."""

    batch_size: int = 16
    """Images per step."""

    rounds: int = 5
    """Number of rounds; each implementation runs once in each round."""

    steps: int = 8
    """Training steps per round."""

    out: Path = Path("results/bench_unet.json")
    """JSON file to write."""


def main(config):
    from interleaved import compare
    from machine import peaks_of

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    peaks = peaks_of(config.precision)
    for precision, peak in peaks.items():
        print(f"{precision}: peak {peak / 1e9:.0f} G MACs/s")
    rows = []
    for filters, down, up, precision in itertools.product(
        config.filters, config.down, config.up, peaks
    ):
        case = {"filters": filters, "down": down, "up": up, "precision": precision}
        with tempfile.TemporaryDirectory() as folder:
            weights = str(Path(folder) / "weights.npz")
            task = {**case, "batch_size": config.batch_size, "weights": weights}
            programs = {name: (x, name, task) for name, x in IMPLEMENTATIONS.items()}
            measured = compare(programs, config.rounds, config.steps)
        for name, row in measured.items():
            rate = config.batch_size / row["seconds"]
            macs = row.get("macs", measured["ours"]["macs"])  # PyTorch's has the same
            rows.append(
                {
                    **case,
                    "implementation": name,
                    "images_per_second": round(rate, 1),
                    "share_of_peak": round(3 * macs * rate / peaks[precision], 3),
                    "relative_speed": round(1 / row["ratio"], 3),
                    "min": round(1 / row["max"], 3),
                    "max": round(1 / row["min"], 3),
                }
            )
            print(_line(rows[-1]), flush=True)
    content = {**provenance(config, "torch"), "macs_per_second": peaks}
    write_json(config.out, {**content, "batch_size": config.batch_size, "rows": rows})


def _line(row):
    return (
        "{filters} filters, {down}, {up}, {precision}: {implementation:20} "
        "{images_per_second:6.1f} images/s, {share_of_peak:.0%} of the peak, "
        "{relative_speed:.2f} ({min:.2f} to {max:.2f}) times our speed"
    ).format(**row)


if __name__ == "__main__":
    sys.exit(command_line.run(BenchUNetConfig, main))
