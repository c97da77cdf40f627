"""Growth of a UNet training's time and memory with its sizes; see --help."""

import dataclasses
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

from train_tf import command_line

DEFAULTS = {"image_size": 128, "filters": 16, "batch_size": 8}


@dataclasses.dataclass(frozen=True)
class BenchScaleConfig:
    """Measure seconds and memory over a range of sizes, and fit how they grow."""

    image_size: tuple[int, ...] = (64, 128, 256, 512)
    """Height and width of the images of a training step."""

    filters: tuple[int, ...] = (8, 16, 32, 64)
    """Channels of the first level."""

    batch_size: tuple[int, ...] = (1, 4, 16, 64)
    """Images per training step."""

    images: tuple[int, ...] = (300, 3_000, 15_000, 60_000)
    """Training images, of which the input pipeline makes an epoch's first batches."""

    steps: int = 3
    """Training steps, or a tenth of the batches, whose median is taken."""

    out: Path = Path("results/bench_scale.json")
    """JSON file to write."""


def main(config):
    """Measure each size in a process of its own."""
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    without_model = _measure("nothing", {}, 1)["mebibytes"]
    sweeps = {}
    for swept in (*DEFAULTS, "images"):
        rows = []
        for value in sorted(getattr(config, swept)):
            if swept == "images":
                row = _measure("input", {"count": value}, config.steps)
            else:
                row = _measure("step", {**DEFAULTS, swept: value}, config.steps)
            row["mebibytes"] = round(row["mebibytes"] - without_model)
            rows.append({swept: value, **row})
            print(rows[-1], flush=True)
        growth = _growth(rows)
        print(growth, flush=True)
        sweeps[swept] = {"rows": rows, **growth}
    content = {
        **provenance(config),
        "defaults": DEFAULTS,
        "mebibytes_without_model": round(without_model),
    }
    write_json(config.out, {**content, "sweeps": sweeps})


def _growth(rows):
    """Exponents of seconds over work and of memory over bytes; 1 is proportional.

    Fitted to the two largest rows: small ones have more constant cost.
    """
    if len(rows) < 2:
        return {}
    small, large = rows[-2:]

    def exponent(cost, size):
        growth = math.log(large[size] / small[size])
        return round(math.log(large[cost] / small[cost]) / growth, 2)

    return {
        "seconds_over_work": exponent("seconds", "work"),
        "memory_over_bytes": exponent("mebibytes", "bytes"),
    }


def _measure(kind, sizes, steps):
    command = [sys.executable, __file__, "--measure", kind, json.dumps(sizes)]
    answer = subprocess.run(
        [*command, str(steps)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


def _median_seconds(work, times):
    import numpy as np

    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _step(image_size, filters, batch_size, steps):
    """A training step of the default UNet; its work is the number of MACs."""
    import numpy as np
    import tensorflow as tf

    from train_tf import devices
    from train_tf.macs import macs
    from unet_tf.config import UNetConfig
    from unet_tf.training import build, compile_model

    devices.set_up("float32", 0)
    config = UNetConfig(filters=filters)
    model = build(config, (image_size, image_size, 3), 3)
    compile_model(model, config, 100, ("a", "b", "c"))
    rng = np.random.default_rng(0)
    images = rng.random((batch_size, image_size, image_size, 3), "float32")
    masks = rng.integers(0, 3, (batch_size, image_size, image_size, 1), "uint8")
    batches = iter(tf.data.Dataset.from_tensors((images, masks)).cache().repeat())
    model.make_train_function()
    features = sum(np.prod(layer.output.shape[1:]) for layer in model.layers[1:])
    return {
        "seconds": _median_seconds(lambda: model.train_function(batches), steps),
        "work": 3 * batch_size * macs(model),
        # The features of each image once; parameters, gradients and momentum.
        "bytes": int(4 * (batch_size * features + 3 * model.count_params())),
    }


def _input(count, steps):
    """The first batches of an epoch; its work is the number of images."""
    import numpy as np

    from unet_tf import data
    from unet_tf.config import UNetConfig

    size = DEFAULTS["image_size"]
    images = np.zeros((count, size, size, 3), "uint8")
    images[:] = np.random.default_rng(0).integers(0, 255, images.shape[1:], "uint8")
    masks = np.zeros((count, size, size, 1), "uint8")
    split = data.Split(images, masks, np.arange(count).astype(str))
    splits = data.SegmentationData(*[split] * 3, ("a", "b"), ((0, 0, 0),) * 2)
    start = time.perf_counter()
    batches = iter(data.training_batches(splits, UNetConfig(), range(1000)))
    next(batches)
    return {
        "seconds": time.perf_counter() - start,
        "seconds_per_batch": _median_seconds(lambda: next(batches), 10 * steps),
        "work": count,
        "bytes": images.nbytes + masks.nbytes,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        command_line.start_tensorflow()
        import tensorflow  # noqa: F401 ("nothing" measures what the import needs)

        kind, sizes, steps = sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
        kinds = {"step": _step, "input": _input, "nothing": lambda steps: {}}
        row = kinds[kind](**sizes, steps=steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**row, "mebibytes": peak}))
    else:
        sys.exit(command_line.run(BenchScaleConfig, main))
