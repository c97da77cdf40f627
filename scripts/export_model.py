"""Convert a SavedModel to ONNX, TFLite (LiteRT) or OpenVINO; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class ExportModelConfig:
    """Convert a SavedModel to ONNX, TFLite (LiteRT) or OpenVINO, and compare them."""

    model: Path
    """Folder of a SavedModel: saved_models/NAME for its highest version, or
    saved_models/NAME/VERSION."""

    format: tuple[Literal["saved_model", "onnx", "litert", "openvino"], ...] = (
        "onnx",
        "litert",
        "openvino",
    )
    """Output formats. All but saved_model need requirements-export.txt."""

    quantize: Literal["none", "int8"] = "none"
    """Number format of weights and activations: float32 (none) or 8-bit integers."""

    images: Path | None = None
    """Folder of images like those that your UNet is for: int8 is calibrated on them,
    and runtimes are compared on them. By default the pets; required for int8 of a UNet
    of your own."""

    out: Path | None = None
    """Output folder; by default exports/NAME."""


def main(config):
    from serve_tf.compare import as_table, export_and_compare
    from train_tf.export import model_name
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    out = config.out or Path("exports") / model_name(config.model)
    rows = export_and_compare(
        config.model, config.format, config.quantize, out, config.images
    )
    print(f"\n{as_table(rows)}\n\nExports: {out}")
    result = {**provenance(config), "runtimes": rows}
    write_json(out / f"comparison_{config.quantize}.json", result)
    return int(any("error" in row for row in rows.values()))


if __name__ == "__main__":
    sys.exit(command_line.run(ExportModelConfig, main))
