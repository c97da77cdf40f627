"""Write the README's tables from the JSON files in results/; see --help.

A table stands between `<!-- NAME -->` and `<!-- end -->`.
"""

import dataclasses
import re
import statistics
import sys
from pathlib import Path

from train_tf import command_line
from train_tf.errors import InputError
from train_tf.files import read_json, write_text

PROJECT = Path(__file__).resolve().parents[1]
FIGURES = {
    "accuracy": "accuracy",
    "mean_iou": "mean IoU",
    "iou_pet": "pet",
    "iou_background": "background",
    "iou_outline": "outline",
}
PEERS = ("torch eager", "torch compile")
RUNTIMES = {  # as export_model.py calls them, and bench_inference.py
    "SavedModel": "SavedModel",
    "onnx": "ONNX Runtime, float32",
    "litert": "LiteRT, float32",
    "openvino": "OpenVINO, float32",
    "onnx int8": "ONNX Runtime, int8",
    "litert int8": "LiteRT, int8",
    "openvino int8": "OpenVINO, int8",
}


@dataclasses.dataclass(frozen=True)
class ReadmeTablesConfig:
    """Write the README's tables again."""

    results: Path = PROJECT / "results"
    """Folder of the JSON files."""

    readme: Path = PROJECT / "README.md"
    """The file whose tables are written."""


def main(config):
    text = config.readme.read_text(encoding="utf-8")
    filled = fill(text, config.results)
    write_text(config.readme, filled)
    print("Nothing changed." if filled == text else f"Tables written: {config.readme}")


def fill(text, results):
    """A README with its tables as the files in a folder have them.

    Raises:
        InputError: if it asks for a table that there is not, or a file is missing.
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
    path = results / f"{name}.json"
    if not path.exists():
        raise InputError(f"Expected {path}, for a table of the README. Found none.")
    return read_json(path)


def _head(*titles):
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"


def _row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def _unets(results):
    """The four UNets of the assignment, and what there is without ours."""
    from compare_unets import read_trained
    from unet_tables import DEFAULT, PAIRS, name_of, title_of

    trained = read_trained(results)
    yield from _head("network", *FIGURES.values(), "Dice")
    for parts in PAIRS:
        if parts not in trained:
            name = f"{name_of(parts, 0)}.json"
            raise InputError(
                f"Expected {results / name} as compare_unets.py writes it. Found none."
            )
        of_seeds = [one["figures"] for one in trained[parts]]
        names = (*FIGURES, "dice")
        means = (statistics.mean(one[name] for one in of_seeds) for name in names)
        yield _row(title_of(parts), *(f"{mean:.3f}" for mean in means))
    default, article = trained[DEFAULT], _read(results, "article_unet")
    mirrored = {
        name: statistics.mean(one["test_flip_averaged"][name] for one in default)
        for name in FIGURES
    }
    others = {
        f"{title_of(DEFAULT)}, averaged with the mirrored photograph": mirrored,
        "the article's network, as many epochs and filters": article[
            "article, best epoch"
        ],
        "the commonest class of each position, no network": default[0][
            "baseline_positional_prior"
        ],
    }
    for title, figures in others.items():
        yield _row(title, *(f"{figures[name]:.3f}" for name in FIGURES), "")


def _vaes(results):
    """The conditional VAEs on each set, the seed's own figures, and linear VAEs."""
    from compare_cvaes import read_trained

    from cvae_tf.config import SEED

    yield from _head(
        "images, network",
        "epochs, minutes",
        "weights",
        "latents",
        "-ELBO, nats",
        "label_accuracy",
        "style",
        "sharpness",
        "leakage",
    )
    trained = read_trained(results)
    for dataset, (nats, epochs) in SEED.items():
        for one in trained:
            if one["config"]["dataset"] == dataset:
                yield _vae(one)
        seed = f"{dataset}, the seed's own notebook, training batches"
        yield _row(seed, f"{epochs}", "20.1M", 256, f"{nats:.0f}", *[""] * 4)
        linear = _read(results, f"linear_{dataset}")
        for latents, row in linear["negative log-likelihood, by latents"].items():
            form = "Gaussian of full covariance" if row["full"] else "linear VAE"
            title = f"{dataset}, {form}, no network"
            nats = f"{row['negative_elbo']:.0f}"
            yield _row(title, "", "", latents, nats, *[""] * 4)


def _vae(one):
    from compare_cvaes import latents_of

    test, scores = one["test"], one["scores"]
    elbo = f"{test['negative_elbo']:.0f}"
    if one["config"]["likelihood"] == "discretized_logistic":
        elbo += f": {test['bits_per_dim']:.2f} bits/dim"
    return _row(
        f"{one['config']['dataset']}, {one['title']}",
        f"{one['epochs']}, {one['minutes']:.0f}",
        f"{one['parameters'] / 1e6:.2f}M",
        latents_of(one),
        elbo,
        f"{scores['obedience']:.2%}",
        f"{min(scores['style'].values()):.2f}",
        f"{scores['sharpness']:.2f}",
        f"{scores['leakage']:.0%}",
    )


def _runtimes(results):
    """The default UNet in other runtimes: how true, how large, how fast."""
    speeds = {
        (row["contender"], row["batch_size"]): row
        for row in _read(results, "bench_inference")["rows"]
    }
    yield from _head(
        "runtime",
        "mean difference",
        "mean IoU",
        "MiB",
        "ms, 1 picture",
        "beside model.predict",
        "pictures/s, 32 at once",
    )

    def speed(contender):
        alone, many = speeds[contender, 1], speeds[contender, 32]
        yield f"{alone['milliseconds']:.1f}"
        yield f"{alone['times_as_fast_as_predict']:.1f} x"
        yield f"{many['pictures_per_second']:.0f}"

    yield _row("model.predict", "", "", "", *speed("model.predict"))
    found = {
        name: row
        for kind in ("float32", "int8")
        for name, row in _read(results, f"runtimes_unet_{kind}")["runtimes"].items()
    }
    for name, title in RUNTIMES.items():
        if name not in found:
            raise InputError(f"Expected {name} among the runtimes in {results}.")
        row = found[name]
        apart = "" if name == "SavedModel" else f"{row['mean_difference']:.0e}"
        size = f"{row['bytes'] / 2**20:.1f}"
        yield _row(title, apart, f"{row['mean_iou']:.4f}", size, *speed(title))


def _speed_of_unets(results):
    """The UNet's training beside PyTorch's: a row for each network."""
    names = ("bench_unet", "bench_unet_32")
    rows = [row for name in names for row in _read(results, name)["rows"]]
    keys = ("filters", "down", "up", "precision", "contender")
    speeds = {tuple(row[key] for key in keys): row["images_per_second"] for row in rows}
    precisions = ("float32", "bfloat16")
    columns = [(x, name) for x in precisions for name in ("ours", *PEERS)]
    yield from _head("filters, blocks", *(f"{name}, {x}" for x, name in columns))
    for network in dict.fromkeys(speed[:3] for speed in speeds):
        cells = (f"{speeds[(*network, *column)]:.1f}" for column in columns)
        yield _row(", ".join(map(str, network)), *cells)


def _speed_of_vaes(results):
    """The VAEs' training beside the seed's design, and the time to its figure."""
    from cvae_tf.config import SEED

    rows = _read(results, "bench_cvae")["rows"]
    keys = ("dataset", "precision", "contender")
    speeds = {tuple(row[key] for key in keys): row["images_per_second"] for row in rows}
    races = {dataset: _read(results, f"race_cvae_{dataset}") for dataset in SEED}
    contenders = ("ours compact", "ours resnet18", *PEERS)
    patience = {f"{race['config']['patience']:g}" for race in races.values()}
    ends = (
        "seconds to the seed's -ELBO",
        f"torch eager's in {' and '.join(sorted(patience))} times as long",
    )
    yield from _head("images, precision", *contenders, *ends)
    for dataset, precision in dict.fromkeys(speed[:2] for speed in speeds):
        cells = (f"{speeds[dataset, precision, name]:.0f}" for name in contenders)
        race = races[dataset]
        ends = (
            _ends(race, SEED[dataset][0])
            if race["precision"] == precision
            else ("", "")
        )
        yield _row(f"{dataset}, {precision}", *cells, *ends)


def _ends(race, nats):
    """How long ours took to the seed's figure, and where the peer was later."""
    ours, theirs = race["ours compact"], race["torch eager"]
    yield f"{ours['seconds']:.0f}"
    yield f"{theirs['curve'][-1][1]:.0f} (the seed's: {nats:.0f})"


TABLES = {
    "unets": _unets,
    "vaes": _vaes,
    "runtimes": _runtimes,
    "speed_of_unets": _speed_of_unets,
    "speed_of_vaes": _speed_of_vaes,
}


if __name__ == "__main__":
    sys.exit(command_line.run(ReadmeTablesConfig, main))
