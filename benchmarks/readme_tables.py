"""Write the README's tables from the JSON files in results/; see --help.

A table stands between `<!-- NAME -->` and `<!-- end -->`.
"""

import dataclasses
import json
import re
import sys
from pathlib import Path

from train_tf import command_line
from train_tf.errors import InputError

PROJECT = Path(__file__).resolve().parents[1]
UNETS = {
    "maxpool_transpose_bce": "max-pool down, transpose up, BCE",
    "maxpool_transpose_dice": "max-pool down, transpose up, Dice",
    "strided_transpose_bce": "strided down, transpose up, BCE",
    "strided_upsample_dice": "strided down, upsample up, Dice",
}
RUNTIMES = {
    "SavedModel": "SavedModel",
    "onnx": "ONNX Runtime",
    "litert": "LiteRT",
    "openvino": "OpenVINO",
}


@dataclasses.dataclass(frozen=True)
class ReadmeTablesConfig:
    """Write the README's tables again."""

    results: Path = PROJECT / "results"
    """Folder of the JSON files."""

    readme: Path = PROJECT / "README.md"
    """The file whose tables are written."""


def main(config):
    from train_tf.files import write_text

    text = config.readme.read_text(encoding="utf-8")
    filled = fill(text, config.results)
    write_text(config.readme, filled)
    print("Nothing changed." if filled == text else f"Tables written: {config.readme}")


def fill(text, results):
    """A README with its tables as the files in a folder have them.

    Raises:
        InputError: if it asks for a table that there is not.
    """

    def table(match):
        name = match[1]
        if name not in TABLES:
            raise InputError(
                f"Expected a table of {', '.join(TABLES)}. Received: <!-- {name} -->"
            )
        rows = [line.strip() for line in TABLES[name](results)]
        return "\n".join([f"<!-- {name} -->", *rows, "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def _read(results, name):
    return json.loads((results / f"{name}.json").read_text(encoding="utf-8"))


def _head(*titles):
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"


def _row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def _speed_of_unets(results):
    """The UNet's training beside the peers'."""
    rows = _read(results, "bench_unet")["rows"]
    contenders = list(dict.fromkeys(row["contender"] for row in rows))
    yield from _head("filters, blocks, precision", *contenders)
    tasks = ("filters", "down", "up", "precision")
    for task in dict.fromkeys(tuple(row[x] for x in tasks) for row in rows):
        speeds = {
            row["contender"]: row["images_per_second"]
            for row in rows
            if tuple(row[x] for x in tasks) == task
        }
        filters, down, up, precision = task
        cells = (f"{speeds[name]:.1f}" for name in contenders)
        yield _row(f"{filters}, {down}, {up}, {precision}", *cells)


def _speed_of_answers(results):
    """Latency and throughput of the UNet in each runtime."""
    rows = _read(results, "bench_inference")["rows"]
    sizes = sorted({row["batch_size"] for row in rows})
    titles = [
        f"ms, {size} picture" if size == 1 else f"pictures/s, {size} at once"
        for size in sizes
    ]
    yield from _head("runtime", *titles, "beside model.predict, 1 picture")
    for name in dict.fromkeys(row["contender"] for row in rows):
        own = {row["batch_size"]: row for row in rows if row["contender"] == name}
        cells = (
            f"{own[size]['milliseconds']:.1f}"
            if size == 1
            else f"{own[size]['pictures_per_second']:.0f}"
            for size in sizes
        )
        yield _row(name, *cells, f"{own[1]['times_as_fast_as_predict']:.1f} x")


TABLES = {
    "speed_of_unets": _speed_of_unets,
    "speed_of_answers": _speed_of_answers,
}


if __name__ == "__main__":
    sys.exit(command_line.run(ReadmeTablesConfig, main))
