"""Growth of a UNet training's time and memory with its sizes; see --help."""

import dataclasses
import math
import resource
import statistics
import sys
import time
import timeit
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
    """Numbers of training images; the first batches of an epoch are timed."""

    steps: int = 3
    """Measured training steps; ten times as many batches for the input pipeline. The
    median counts."""

    out: Path = Path("results/bench_scale.json")
    """JSON file to write."""


def main(config):
    """Measure each size in a process of its own."""
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    without_model = _measure(dict)["mebibytes"]
    sweeps = {}
    for swept in (*DEFAULTS, "images"):
        rows = []
        for value in sorted(getattr(config, swept)):
            if swept == "images":
                row = _measure(_input, count=value, steps=config.steps)
            else:
                sizes = {**DEFAULTS, swept: value}
                row = _measure(_step, **sizes, steps=config.steps)
            row["mebibytes"] = round(row["mebibytes"] - without_model)
            rows.append({swept: value, **row})
            print(rows[-1], flush=True)
        growth = _growth(rows)
        print(growth, flush=True)
        sweeps[swept] = {"rows": rows, **growth}
    content = {"defaults": DEFAULTS, "mebibytes_without_model": round(without_model)}
    write_json(config.out, {**provenance(config), **content, "sweeps": sweeps})


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


def _measure(function, **sizes):
    """What a function returns in a new process, and the most memory it had."""
    from interleaved import new_process

    with new_process() as process:
        return process.submit(_with_memory, function, sizes).result()


def _with_memory(function, sizes):
    command_line.start_tensorflow()
    row = function(**sizes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**row, "mebibytes": peak}


def _median_seconds(work, times):
    work()
    return statistics.median(timeit.repeat(work, number=1, repeat=times))


def _step(image_size, filters, batch_size, steps):
    """A training step of the default UNet; its work is the number of MACs."""
    import numpy as np
    from interleaved import step_of

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
    features = sum(np.prod(layer.output.shape[1:]) for layer in model.layers[1:])
    return {
        "seconds": _median_seconds(step_of(model, images, masks), steps),
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
    sys.exit(command_line.run(BenchScaleConfig, main))
