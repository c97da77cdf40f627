"""Export a SavedModel for other runtimes, and compare them; see --help."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class ExportModelConfig:
    """Bring a SavedModel to other runtimes, reload it there, and compare."""

    model: Path
    """A SavedModel: saved_models/NAME for its newest version, or NAME/VERSION."""

    format: tuple[Literal["saved_model", "onnx", "litert", "openvino"], ...] = (
        "onnx",
        "litert",
        "openvino",
    )
    """Which runtimes. All but saved_model need requirements-export.txt."""

    quantize: Literal["none", "int8"] = "none"
    """Weights and what flows between the layers: float32, or 8-bit whole numbers."""

    images: Path | None = None
    """Photographs like those that a UNet of your own is for: int8 is fitted to them,
    and runtimes are compared on them; left out, the pets."""

    out: Path | None = None
    """Folder to write to; left out, exports/NAME."""


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
    about = {**provenance(config), "runtimes": rows}
    write_json(out / f"comparison_{config.quantize}.json", about)
    return 1 if any("refused" in row for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(command_line.run(ExportModelConfig, main))
