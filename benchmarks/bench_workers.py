"""Cost of sharing a training among workers, and a projection to more machines.

1, 2 and 3 workers run on the CPUs of this machine and train the same network on the
same batches: if communication were free, all would be equally fast. The bytes they send
are counted at the loopback device.

For N workers on machines of their own, each as fast as this one and each with a batch
of the same size, a step takes about

    compute + 2 (N - 1) / N * bytes / bandwidth + all_reduces * latency

The middle term is what each worker sends in a ring all-reduce of the gradients
(Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms").
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from train_tf import command_line

LATENCY = 100e-6  # seconds per all-reduce between machines of one cluster
PROJECTED = [(8, 10), (8, 100), (64, 10), (64, 100)]  # workers, Gbit/s
UNMEASURED_STEPS = 5  # at the start
LAUNCHER = Path(__file__).resolve().parents[1] / "scripts/launch_local.py"


@dataclasses.dataclass(frozen=True)
class BenchWorkersConfig:
    """Measure a UNet's training by several workers on this machine."""

    workers: tuple[int, ...] = (1, 2, 3)
    """Numbers of workers."""

    batch_size: int = 24
    """Images per step, over all workers."""

    steps: int = 20
    """Measured steps, after five that are not measured."""

    rounds: int = 2
    """Measurements of each number of workers; the fastest counts."""

    out: Path = Path("results/workers.json")
    """JSON file to write."""


def main(config):
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    measured = {count: [] for count in config.workers}
    for _ in range(config.rounds):
        for count in config.workers:
            measured[count].append(_measure(count, config))
    rows = {
        count: min(x, key=lambda row: row["seconds"]) for count, x in measured.items()
    }
    print(as_table(rows))
    projected = projection(rows)
    for row in projected:
        line = "{workers} workers, {gigabits_per_second} Gbit/s: {relative_speed:.0%}"
        print(line.format(**row))
    content = {**provenance(config), "batch_size": config.batch_size}
    write_json(config.out, {**content, "measured": rows, "projected": projected})


def as_table(rows):
    """Measured rows as a Markdown table."""
    fewest = rows[min(rows)]["seconds"]
    lines = [
        "| workers | seconds per step | MiB sent | all-reduces | relative speed |",
        "|---|---|---|---|---|",
    ]
    for count, row in rows.items():
        lines.append(
            f"| {count} | {row['seconds']:.3f} | {row['bytes'] / 2**20:.1f} | "
            f"{row['all_reduces']} | {fewest / row['seconds']:.0%} |"
        )
    return "\n".join(lines)


def projection(rows):
    """Step time and relative speed of `PROJECTED` workers, by the formula above."""
    compute, several = rows[min(rows)]["seconds"], rows[max(rows)]
    projected = []
    for workers, gigabits_per_second in PROJECTED:
        sent = 2 * (workers - 1) / workers * several["gradient_bytes"]
        seconds = compute + sent / (gigabits_per_second * 1e9 / 8)
        seconds += several["all_reduces"] * LATENCY
        projected.append(
            {
                "workers": workers,
                "gigabits_per_second": gigabits_per_second,
                "seconds": seconds,
                "relative_speed": compute / seconds,
            }
        )
    return projected


def _measure(count, config):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.json"
        command = [sys.executable, __file__, "--measure", config.batch_size]
        command += [config.steps, out]
        if count > 1:
            command = [sys.executable, LAUNCHER, f"--workers={count}", "--", *command]
        subprocess.run([*map(str, command)], check=True)
        return json.loads(out.read_text())


def _train(batch_size, steps, out):
    """What each worker does; the chief writes the measurements."""
    command_line.start_tensorflow()
    import keras
    import numpy as np
    import psutil

    from train_tf import devices
    from train_tf.distributed import cluster, replicas
    from unet_tf.config import UNetConfig
    from unet_tf.training import UNetTask

    workers, steps = cluster.join("auto"), int(steps)
    strategy = workers.strategy
    devices.set_up("float32", 0, strategy.num_replicas_in_sync)
    task = UNetTask(UNetConfig(batch_size=int(batch_size), epochs=100))
    with strategy.scope():
        model = task.build()
        model.optimizer.build(model.trainable_variables)
    replicas.prepare_to_fit(model)
    times, sent = [], []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            times.append(time.perf_counter())
            network = psutil.net_io_counters(pernic=True)
            sent.append(network["lo"].bytes_recv)

    model.fit(
        replicas.distribute(lambda r: task.training_batches(range(100), r), strategy),
        steps_per_epoch=UNMEASURED_STEPS + steps,
        callbacks=[Clock()],
        verbose=0,
        shuffle=False,
    )
    if not workers.is_chief:
        return
    norms = sum(
        isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers
    )
    row = {
        "seconds": float(np.median(np.diff(times[UNMEASURED_STEPS - 1 :]))),
        "bytes": (sent[-1] - sent[UNMEASURED_STEPS - 1]) / steps,
        "gradient_bytes": 4
        * sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        # The gradients; three sums of each norm and their gradients; two per metric.
        "all_reduces": 0 if workers.is_alone else 1 + 6 * norms + 2 * 6,
    }
    Path(out).write_text(json.dumps(row))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _train(*sys.argv[2:])
    else:
        sys.exit(command_line.run(BenchWorkersConfig, main))
