"""Answers of the default UNet in every runtime: latency and throughput; see --help.

The weights are those that the network starts with: they make no difference to its
speed. Whether the answers of all runtimes agree is `scripts/export_model.py`'s affair.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from train_tf import command_line

PEERS = {"onnx": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO"}
CALIBRATED_ON = 32  # photographs


@dataclasses.dataclass(frozen=True)
class BenchInferenceConfig:
    """Let model.predict, the SavedModel and other runtimes answer in turns."""

    batch_sizes: tuple[int, ...] = (1, 32)
    """Pictures a request."""

    rounds: int = 7
    """Turns of each contender."""

    pictures: int = 64
    """Pictures a turn."""

    out: Path = Path("results/bench_inference.json")
    """Where the figures go."""


def main(config):
    """Export for all runtimes, and compare."""
    command_line.start_tensorflow()
    from interleaved import Contender, compare

    from train_tf.files import write_json
    from train_tf.run.report import provenance

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tasks = _export_for_all(Path(folder))
        for batch_size in config.batch_sizes:
            contenders = {
                name: Contender(
                    [
                        sys.executable,
                        __file__,
                        "--serve",
                        json.dumps({**task, "batch_size": batch_size}),
                    ]
                )
                for name, task in tasks.items()
            }
            times = max(1, config.pictures // batch_size)
            measured = compare(contenders, config.rounds, times)
            for contender in contenders.values():
                contender.end()
            for name, row in measured.items():
                rows.append(
                    {
                        "contender": name,
                        "batch_size": batch_size,
                        "milliseconds": round(1000 * row["seconds"], 2),
                        "pictures_per_second": round(batch_size / row["seconds"], 1),
                        "times_as_fast_as_predict": round(1 / row["ratio"], 2),
                        "least": round(1 / row["most"], 2),
                        "most": round(1 / row["least"], 2),
                    }
                )
                print(_line(rows[-1]), flush=True)
    peers = ("onnxruntime", "ai-edge-litert", "openvino", "nncf")
    write_json(config.out, {**provenance(config, *peers), "rows": rows})


def _export_for_all(folder):
    """Name to what `_serve` needs to know, of each contender."""
    from serve_tf.runtimes import export_to
    from train_tf import devices
    from unet_tf.config import UNetConfig
    from unet_tf.training import UNetTask

    devices.set_up("float32", 0, "one")
    task = UNetTask(UNetConfig(saved_models_dir=folder))
    model = task.export(task.build())
    photos = task.data.train.photos[:CALIBRATED_ON].astype("float32") / 255
    requests = [{"image": photo[None]} for photo in photos]
    tasks = {
        "model.predict": {"runtime": "keras", "file": ""},
        "SavedModel": {"runtime": "saved_model", "file": str(model)},
    }
    for precision, calibration in (("float32", None), ("int8", requests)):
        for runtime, title in PEERS.items():
            place = folder / f"{runtime}_{precision}"
            file = export_to(runtime, model, place, calibration)
            name = f"{title}, {precision}"
            tasks[name] = {"runtime": runtime, "file": str(file)}
    return tasks


def _serve(runtime, file, batch_size):
    """Answer the same request as often as is asked for."""
    command_line.start_tensorflow()
    import numpy as np
    from interleaved import serve

    image = np.random.default_rng(0).random((batch_size, 128, 128, 3), "float32")
    if runtime == "keras":
        from train_tf import devices
        from unet_tf.config import UNetConfig
        from unet_tf.training import build

        devices.set_up("float32", 0, "one")
        model = build(UNetConfig(), (128, 128, 3), 3)

        def answer():
            model.predict(image, batch_size=batch_size, verbose=0)
    else:
        from serve_tf.runtimes import load_from

        run = load_from(runtime, file)

        def answer():
            run({"image": image})

    def work(times):
        for _ in range(times):
            answer()

    serve(work)


def _line(row):
    return (
        "{contender:22} {batch_size:2} at once: {milliseconds:8.2f} ms, "
        "{pictures_per_second:6.1f} pictures/s, {times_as_fast_as_predict:.2f} times "
        "({least:.2f} to {most:.2f}) as fast as model.predict"
    ).format(**row)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        _serve(**json.loads(sys.argv[2]))
    else:
        sys.exit(command_line.run(BenchInferenceConfig, main))
