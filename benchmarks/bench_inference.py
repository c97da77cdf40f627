"""Latency and throughput of the default UNet in every runtime; see --help.

The weights are the initial ones; they make no difference to the speed.
`scripts/export_model.py` reports how much the outputs of the runtimes differ.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

from train_tf import command_line

PEERS = {"onnx": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO"}
CALIBRATION_IMAGES = 32  # for int8


@dataclasses.dataclass(frozen=True)
class BenchInferenceConfig:
    """Compare model.predict, the SavedModel and other runtimes."""

    batch_sizes: tuple[int, ...] = (1, 32)
    """Images per request."""

    rounds: int = 7
    """Number of rounds; each implementation runs once in each round."""

    images: int = 64
    """Images per round."""

    out: Path = Path("results/bench_inference.json")
    """JSON file to write."""


def main(config):
    from interleaved import compare

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        exports = _export_for_all(Path(folder))
        for batch_size in config.batch_sizes:
            programs = {x: (_start, *exports[x], batch_size) for x in exports}
            times = max(1, config.images // batch_size)
            for name, row in compare(programs, config.rounds, times).items():
                rows.append(
                    {
                        "implementation": name,
                        "batch_size": batch_size,
                        "milliseconds": round(1000 * row["seconds"], 2),
                        "images_per_second": round(batch_size / row["seconds"], 1),
                        "speedup_over_predict": round(1 / row["ratio"], 2),
                        "min": round(1 / row["max"], 2),
                        "max": round(1 / row["min"], 2),
                    }
                )
                print(_line(rows[-1]), flush=True)
    peers = ("onnxruntime", "ai-edge-litert", "openvino", "nncf")
    write_json(config.out, {**provenance(config, *peers), "rows": rows})


def _export_for_all(folder):
    """Export the UNet; return a dict, implementation -> (runtime, file)."""
    from serve_tf.runtimes import export_to
    from train_tf import devices
    from unet_tf.config import UNetConfig
    from unet_tf.training import UNetTask

    devices.set_up("float32", 0)
    task = UNetTask(UNetConfig(saved_models_dir=folder))
    model = task.export(task.build())
    images = task.data.train.images[:CALIBRATION_IMAGES].astype("float32") / 255
    requests = [{"image": image[None]} for image in images]
    exports = {"model.predict": ("keras", None), "SavedModel": ("saved_model", model)}
    for precision, calibration in (("float32", None), ("int8", requests)):
        for runtime, title in PEERS.items():
            out = folder / f"{runtime}_{precision}"
            file = export_to(runtime, model, out, calibration)
            exports[f"{title}, {precision}"] = (runtime, file)
    return exports


def _start(runtime, file, batch_size):
    command_line.start_tensorflow()
    import numpy as np

    image = np.random.default_rng(0).random((batch_size, 128, 128, 3), "float32")
    if runtime == "keras":
        from train_tf import devices
        from unet_tf.config import UNetConfig
        from unet_tf.training import build

        devices.set_up("float32", 0)
        model = build(UNetConfig(), (128, 128, 3), 3)
        return (lambda: model.predict(image, batch_size, verbose=0)), {}
    from serve_tf.runtimes import load_from

    run = load_from(runtime, file)
    return (lambda: run({"image": image})), {}


def _line(row):
    return (
        "{implementation:22} batch of {batch_size:2}: {milliseconds:8.2f} ms, "
        "{images_per_second:6.1f} images/s, {speedup_over_predict:.2f} times "
        "({min:.2f} to {max:.2f}) as fast as model.predict"
    ).format(**row)


if __name__ == "__main__":
    sys.exit(command_line.run(BenchInferenceConfig, main))
