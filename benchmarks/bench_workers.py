"""What sharing a training among workers costs, and what it would on more machines.

One machine's processors are shared evenly by 1, 2 and 3 workers, which train the same
network on the same batches: where sharing costs nothing, all are equally fast. What
they send is counted at the loopback device.

For N workers on machines of their own, each as fast as this one, a step takes about

    compute + 2 (N - 1) / N * bytes / bandwidth + exchanges * latency

with a batch of the same size for each; the middle term is what a ring of N sends from
each worker to add up the gradients (Patarasuk and Yuan 2009, "Bandwidth
optimal all-reduce algorithms").
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from train_tf import command_line

LATENCY = 100e-6  # seconds an exchange, between machines of one cluster
PROJECTED = [(8, 10), (8, 100), (64, 10), (64, 100)]  # workers, Gbit/s


@dataclasses.dataclass(frozen=True)
class BenchWorkersConfig:
    """Measure a UNet's training by several workers on this machine."""

    workers: tuple[int, ...] = (1, 2, 3)
    """Numbers of workers."""

    batch_size: int = 24
    """Images a step, of all workers together."""

    steps: int = 20
    """Steps that are measured, after five that are not."""

    rounds: int = 2
    """How often each number of workers has its turn."""

    out: Path = Path("results/workers.json")
    """Where the figures go."""


def main(config):
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    measured = {count: [] for count in config.workers}
    for _ in range(config.rounds):
        for count in config.workers:
            measured[count].append(_measure(count, config))
    rows = {
        count: min(x, key=lambda one: one["seconds"]) for count, x in measured.items()
    }
    print(as_table(rows))
    projected = projection(rows, config.batch_size)
    for row in projected:
        print("{workers} workers, {gigabits} Gbit/s: {efficiency:.0%}".format(**row))
    about = {**provenance(config), "batch_size": config.batch_size}
    write_json(config.out, {**about, "measured": rows, "projected": projected})


def as_table(rows):
    """Measured rows as text, in Markdown."""
    one = rows[min(rows)]["seconds"]
    lines = [
        "| workers | seconds a step | MiB sent | exchanges | efficiency |",
        "|---|---|---|---|---|",
    ]
    for count, row in rows.items():
        lines.append(
            f"| {count} | {row['seconds']:.3f} | {row['bytes'] / 2**20:.1f} | "
            f"{row['exchanges']} | {one / row['seconds']:.0%} |"
        )
    return "\n".join(lines)


def projection(rows, batch_size):
    """By the formula above: rows of workers, gigabits, seconds, efficiency.

    Each worker has a batch of `batch_size` of its own, which takes what it takes here.
    """
    compute = rows[min(rows)]["seconds"]
    several = rows[max(rows)]
    projected = []
    for workers, gigabits in PROJECTED:
        sent = 2 * (workers - 1) / workers * several["gradient_bytes"]
        exchange = sent / (gigabits * 1e9 / 8) + several["exchanges"] * LATENCY
        projected.append(
            {
                "workers": workers,
                "gigabits": gigabits,
                "seconds": compute + exchange,
                "efficiency": compute / (compute + exchange),
            }
        )
    return projected


def _measure(count, config):
    root = Path(__file__).resolve().parents[1]
    out = Path(f"/tmp/bench-workers-{os.getpid()}.json")
    command = [sys.executable, __file__, "--measure", str(config.batch_size)]
    command += [str(config.steps), str(out)]
    if count > 1:
        launcher = [sys.executable, str(root / "scripts/launch_local.py")]
        command = [*launcher, f"--workers={count}", "--", *command]
    subprocess.run(command, check=True)
    row = json.loads(out.read_text())
    out.unlink()
    return row


def _train(batch_size, steps, out):
    """What each worker does; the chief writes what it measured."""
    command_line.start_tensorflow()
    import keras
    import numpy as np

    from train_tf import devices
    from train_tf.distributed import cluster, replicas
    from unet_tf.config import UNetConfig
    from unet_tf.training import UNetTask

    config = UNetConfig(batch_size=int(batch_size), epochs=100)
    strategy = devices.set_up("float32", 0, "auto")
    task = UNetTask(config)
    with strategy.scope():
        model = task.build()
        model.optimizer.build(model.trainable_variables)
    replicas.prepare_to_fit(model)
    times, sent, warm_up, steps = [], [], 5, int(steps)

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            times.append(time.perf_counter())
            sent.append(_bytes_on_loopback())

    model.fit(
        replicas.spread(lambda r: task.training_batches(range(100), r), strategy),
        steps_per_epoch=warm_up + steps,
        callbacks=[Clock()],
        verbose=0,
        shuffle=False,
    )
    if not cluster.is_chief(strategy):
        return
    norms = sum(
        isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers
    )
    several = strategy.num_replicas_in_sync > 1
    row = {
        "seconds": float(np.median(np.diff(times[warm_up - 1 :]))),
        "bytes": (sent[-1] - sent[warm_up - 1]) / steps,
        "gradient_bytes": 4
        * sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        # Each norm's three sums and their three gradients; the gradients; two a figure.
        "exchanges": several * (6 * norms + 1 + 2 * 6),
    }
    Path(out).write_text(json.dumps(row))


def _bytes_on_loopback():
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split(":")[1].split()[0])
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _train(*sys.argv[2:])
    else:
        sys.exit(command_line.run(BenchWorkersConfig, main))
