"""What the input costs: the pipeline alone, and beside the training; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line

BATCHES = 20  # of the input alone for a step of the others: more than are made ahead
CONTENDERS = ("one batch, repeated", "real batches", "input alone")


@dataclasses.dataclass(frozen=True)
class BenchInputConfig:
    """Train on one repeated batch, train on real ones, and only read them, in turns."""

    task: tuple[Literal["unet", "mnist", "cifar10"], ...] = ("unet", "mnist", "cifar10")
    """The default UNet on the pets, or the default VAE on these images."""

    rounds: int = 7
    """Turns of each contender."""

    steps: int = 15
    """Batches a turn."""

    out: Path = Path("results/bench_input.json")
    """Where the figures go."""


def main(config):
    """Compare all that was asked for."""
    from interleaved import Contender, compare

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    rows = []
    for task in config.task:
        contenders = {
            name: Contender([sys.executable, __file__, "--serve", name, task])
            for name in CONTENDERS
        }
        measured = compare(contenders, config.rounds, config.steps)
        for contender in contenders.values():
            contender.end()
        row = {
            "task": task,
            "step_milliseconds": _milliseconds(measured["one batch, repeated"]),
            "input_milliseconds": _milliseconds(measured["input alone"], BATCHES),
            "input_faster_by": round(BATCHES / measured["input alone"]["ratio"], 1),
            "training_slower_by": round(measured["real batches"]["ratio"] - 1, 4),
            "least": round(measured["real batches"]["least"] - 1, 4),
            "most": round(measured["real batches"]["most"] - 1, 4),
        }
        rows.append(row)
        print(_line(row), flush=True)
    write_json(config.out, {**provenance(config), "rows": rows})


def _milliseconds(row, batches=1):
    return round(1000 * row["seconds"] / batches, 2)


def _line(row):
    return (
        "{task:8} a step of {step_milliseconds:.1f} ms, its batch in "
        "{input_milliseconds:.2f} ms ({input_faster_by:.0f} times as fast); real "
        "batches make it {training_slower_by:+.1%} slower ({least:+.1%} to {most:+.1%})"
    ).format(**row)


def _serve(name, task):
    command_line.start_tensorflow()
    from interleaved import serve

    from train_tf import devices
    from train_tf.data.pipeline import ALONE

    if task == "unet":
        from unet_tf.config import UNetConfig
        from unet_tf.training import UNetTask

        config, task_class = UNetConfig(), UNetTask
    else:
        from cvae_tf.config import CVAEConfig
        from cvae_tf.training import CVAETask

        config, task_class = CVAEConfig(dataset=task), CVAETask
    devices.set_up("auto", 0, "one")
    task = task_class(config)
    batches = task.training_batches(range(1_000_000), ALONE)
    if name == "one batch, repeated":
        batches = batches.take(1).cache().repeat()
    # What `fit` does for each batch, without starting the pipeline anew each turn.
    iterator = iter(batches)

    def step(iterator):
        for _ in range(BATCHES):
            next(iterator)

    if name != "input alone":
        model = task.build()
        model.make_train_function()
        step = model.train_function

    def work(times):
        for _ in range(times):
            step(iterator)

    serve(work)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        _serve(*sys.argv[2:])
    else:
        sys.exit(command_line.run(BenchInputConfig, main))
