"""How the cost of a training grows with its sizes; see --help."""

import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from train_tf import command_line

SIZE, FILTERS, BATCH = 128, 16, 8  # where another is swept


@dataclasses.dataclass(frozen=True)
class BenchScaleConfig:
    """Measure seconds and memory over sizes, and how steeply they grow."""

    image_size: tuple[int, ...] = (64, 128, 256, 512)
    """Height and width of the pictures, of a training step."""

    filters: tuple[int, ...] = (8, 16, 32, 64)
    """Channels of the first level, of a training step."""

    batch_size: tuple[int, ...] = (1, 4, 16, 64)
    """Images a training step."""

    photographs: tuple[int, ...] = (300, 3_000, 15_000, 60_000)
    """Photographs that an epoch's first batches are made of."""

    steps: int = 3
    """Training steps, or a tenth of the batches, whose median is taken."""

    out: Path = Path("results/bench_scale.json")
    """Where the figures go."""


def main(config):
    """Measure all that was asked for, each in a process of its own."""
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    usual = {"image_size": SIZE, "filters": FILTERS, "batch_size": BATCH}
    floor = _measure("nothing", {}, 1)["mebibytes"]
    sweeps = {}
    for swept in ("image_size", "filters", "batch_size", "photographs"):
        rows = []
        for value in sorted(getattr(config, swept)):
            if swept == "photographs":
                row = _measure("input", {"photographs": value}, config.steps)
            else:
                row = _measure("step", {**usual, swept: value}, config.steps)
            row["mebibytes"] = round(row["mebibytes"] - floor)
            rows.append({swept: value, **row})
            print(rows[-1], flush=True)
        sweeps[swept] = {"rows": rows, **_steepness(rows)}
        print({k: x for k, x in sweeps[swept].items() if k != "rows"}, flush=True)
    about = {
        **provenance(config),
        "usual": usual,
        "mebibytes_without_model": round(floor),
    }
    write_json(config.out, {**about, "sweeps": sweeps})


def _steepness(rows):
    """Exponents of seconds and memory over the work and the bytes that are asked for.

    1 is proportional. They are fitted to the two largest rows: small ones have more
    that does not grow.
    """
    import math

    if len(rows) < 2:
        return {}
    small, large = rows[-2:]

    def exponent(of, over):
        growth = math.log(large[over] / small[over])
        return round(math.log(large[of] / small[of]) / growth, 2)

    return {
        "seconds_over_work": exponent("seconds", "work"),
        "memory_over_bytes": exponent("mebibytes", "bytes"),
    }


def _measure(what, sizes, steps):
    command = [sys.executable, __file__, "--measure", what, json.dumps(sizes)]
    answer = subprocess.run(
        [*command, str(steps)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


def _median_seconds(work, times):
    import numpy as np

    work()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def _step(image_size, filters, batch_size, steps):
    """A training step of the default UNet."""
    import numpy as np
    import tensorflow as tf

    from train_tf import devices
    from train_tf.macs import macs
    from unet_tf.config import UNetConfig
    from unet_tf.training import build, compile_model

    devices.set_up("float32", 0, "one")
    config = UNetConfig(filters=filters)
    model = build(config, (image_size, image_size, 3), 3)
    compile_model(model, config, 100, ("a", "b", "c"))
    lot = np.random.default_rng(0)
    images = lot.random((batch_size, image_size, image_size, 3), "float32")
    masks = lot.integers(0, 3, (batch_size, image_size, image_size, 1), "uint8")
    batches = iter(tf.data.Dataset.from_tensors((images, masks)).cache().repeat())
    model.make_train_function()
    features = sum(
        np.prod(layer.output.shape[1:]) for layer in model.layers[1:]
    )  # of one image
    return {
        "seconds": _median_seconds(lambda: model.train_function(batches), steps),
        "work": 3 * batch_size * macs(model),
        # A copy of all features, and of all weights three: gradient and momentum.
        "bytes": int(4 * (batch_size * features + 3 * model.count_params())),
    }


def _input(photographs, steps):
    """The first batches of an epoch."""
    import numpy as np

    from unet_tf import data
    from unet_tf.config import UNetConfig

    photos = np.zeros((photographs, SIZE, SIZE, 3), "uint8")
    photos[:] = np.random.default_rng(0).integers(0, 255, photos.shape[1:], "uint8")
    masks = np.zeros((photographs, SIZE, SIZE, 1), "uint8")
    names = np.arange(photographs).astype(str)
    part = data.Part(photos, masks, names)
    parts = data.SegmentationData(part, part, part, ("a", "b"), ((0, 0, 0),) * 2)
    start = time.perf_counter()
    batches = iter(data.training_batches(parts, UNetConfig(), range(1000)))
    next(batches)
    first = time.perf_counter() - start
    return {
        "seconds": first,
        "seconds_a_batch": _median_seconds(lambda: next(batches), 10 * steps),
        "work": photographs,
        "bytes": photos.nbytes + masks.nbytes,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        command_line.start_tensorflow()
        import tensorflow  # noqa: F401 (what it needs by itself is measured, too)

        kind, sizes, steps = sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
        kinds = {"step": _step, "input": _input, "nothing": lambda steps: {}}
        row = kinds[kind](**sizes, steps=steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**row, "mebibytes": peak}))
    else:
        sys.exit(command_line.run(BenchScaleConfig, main))
