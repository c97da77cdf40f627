"""Cost of the input pipeline, alone and beside the training; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line

BATCHES = 20  # per step of the input alone: more than are prefetched
CASES = ("one batch, repeated", "real batches", "input alone")


@dataclasses.dataclass(frozen=True)
class BenchInputConfig:
    """Compare training on one repeated batch, training on real batches, and reading
    batches alone, in interleaved rounds."""

    task: tuple[Literal["unet", "mnist", "cifar10"], ...] = ("unet", "mnist", "cifar10")
    """The default UNet on the pets, or the default VAE on this data set."""

    rounds: int = 7
    """Number of rounds; each case runs once in each round."""

    steps: int = 15
    """Repetitions per round: a batch each, 20 batches for the input alone."""

    out: Path = Path("results/bench_input.json")
    """JSON file to write."""


def main(config):
    from interleaved import compare

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    rows = []
    for task in config.task:
        programs = {case: (_start, case, task) for case in CASES}
        measured = compare(programs, config.rounds, config.steps)
        repeated, real, alone = (measured[case] for case in CASES)
        row = {
            "task": task,
            "step_milliseconds": round(1000 * repeated["seconds"], 2),
            "input_milliseconds": round(1000 * alone["seconds"] / BATCHES, 2),
            "input_faster_by": round(BATCHES / alone["ratio"], 1),
            "training_slower_by": round(real["ratio"] - 1, 4),
            "min": round(real["min"] - 1, 4),
            "max": round(real["max"] - 1, 4),
        }
        rows.append(row)
        print(_line(row), flush=True)
    write_json(config.out, {**provenance(config), "rows": rows})


def _line(row):
    return (
        "{task:8} step {step_milliseconds:.1f} ms, batch {input_milliseconds:.2f} ms "
        "({input_faster_by:.0f} times as fast); training on real batches is "
        "{training_slower_by:+.1%} slower ({min:+.1%} to {max:+.1%})"
    ).format(**row)


def _start(case, task):
    command_line.start_tensorflow()
    from train_tf import devices
    from train_tf.data.pipeline import SINGLE_REPLICA

    devices.set_up("auto", 0)
    if task == "unet":
        from unet_tf.config import UNetConfig
        from unet_tf.training import UNetTask

        task = UNetTask(UNetConfig())
    else:
        from cvae_tf.config import CVAEConfig
        from cvae_tf.training import CVAETask

        task = CVAETask(CVAEConfig(dataset=task))
    batches = task.training_batches(range(1_000_000), SINGLE_REPLICA)
    if case == "one batch, repeated":
        batches = batches.take(1).cache().repeat()
    iterator = iter(batches)
    if case == "input alone":
        return (lambda: [next(iterator) for _ in range(BATCHES)]), {}
    # What `fit` does for each batch, without restarting the pipeline in every round.
    model = task.build()
    model.make_train_function()
    return (lambda: model.train_function(iterator)), {}


if __name__ == "__main__":
    sys.exit(command_line.run(BenchInputConfig, main))
