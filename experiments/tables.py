"""Fill the tables of README.md and docs/ from the JSON files in results/; see --help.

A table stands between `<!-- NAME -->` and `<!-- end -->`.
"""

import dataclasses
import itertools
import re
import statistics
import sys
from functools import partial
from pathlib import Path

import compare_cvaes
import compare_unets
import unet_tables
from unet_tables import ASSIGNMENT, DEFAULT, name_of, title_of

from train_tf import command_line
from train_tf.data.datasets import DATASETS
from train_tf.errors import InputError
from train_tf.files import read_json, write_text
from unet_tf.evaluation import METRICS

PROJECT = Path(__file__).resolve().parents[1]
UNET_METRICS = list(METRICS)[:6]  # of the short table: accuracy to Dice
TITLE = "data set, network"
SHORT_VAE_COLUMNS = (
    *(TITLE, "epochs", "minutes", "parameters", "-ELBO, nats"),
    *("label accuracy", "style correlation", "leakage"),
)
LINEAR_VAE_LATENTS = "256"  # of the linear VAE in the short table
PEERS = ("torch eager", "torch compile")
RUNTIMES = {  # name in runtimes_*.json to name in bench_inference.json
    "SavedModel": "SavedModel",
    "onnx": "ONNX Runtime, float32",
    "litert": "LiteRT, float32",
    "openvino": "OpenVINO, float32",
    "onnx int8": "ONNX Runtime, int8",
    "litert int8": "LiteRT, int8",
    "openvino int8": "OpenVINO, int8",
}


@dataclasses.dataclass(frozen=True)
class TablesConfig:
    """Fill the tables of Markdown pages from the JSON files in results/."""

    results: Path = PROJECT / "results"
    """Folder of the JSON files."""

    pages: tuple[Path, ...] = ()
    """Markdown files to fill; by default README.md and docs/*.md."""


def main(config):
    for page in config.pages or all_pages():
        text = page.read_text(encoding="utf-8")
        filled = fill(text, config.results)
        if filled != text:
            write_text(page, filled)
        print(f"{page}: {'unchanged' if filled == text else 'tables updated'}")


def all_pages():
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def fill(text, results):
    """The text of a page with its tables rebuilt from the files in a folder.

    Raises:
        InputError: if the page names an unknown table, or a file is missing.
    """

    def table(match):
        name = match[1]
        if name not in TABLES:
            raise InputError(
                f"Expected a table of {', '.join(TABLES)}. Received: <!-- {name} -->"
            )
        head, *rows = (
            f"| {' | '.join(map(str, row))} |" for row in TABLES[name](results)
        )
        rule = "|---" * (head.count("|") - 1) + "|"
        return "\n".join([f"<!-- {name} -->", head, rule, *rows, "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def _read(results, name):
    path = results / f"{name}.json"
    if not path.exists():
        raise InputError(f"Expected {path}, which a table needs. Found none.")
    return read_json(path)


def _unets(results):
    """The four UNets of the assignment, flip averaging, the article, a baseline."""
    trained = compare_unets.read_trained(results)
    if missing := [x for x in ASSIGNMENT if x not in trained]:
        file = results / f"{name_of(missing[0], 0)}.json"
        raise InputError(f"Expected {file}, written by compare_unets.py. Found none.")
    rows = {title_of(x): [seed["metrics"] for seed in trained[x]] for x in ASSIGNMENT}
    seeds, article = trained[DEFAULT], _read(results, "article_unet")
    rows[f"{title_of(DEFAULT)}, flip-averaged"] = [
        seed["test_flip_averaged"] for seed in seeds
    ]
    rows["the article's network, same epochs and filters"] = [
        article["best_epoch_metrics"]
    ]
    rows["baseline: positional prior (commonest class per pixel), no network"] = [
        seeds[0]["baseline_positional_prior"]
    ]
    yield "network", *(METRICS[name] for name in UNET_METRICS)
    for title, metrics in rows.items():
        means = (
            f"{statistics.mean(x[name] for x in metrics):.3f}"
            if name in metrics[0]
            else ""
            for name in UNET_METRICS
        )
        yield title, *means


def _vaes(results, short):
    """The conditional VAEs of each data set, the reference notebook, linear VAEs.

    Those of the short table compare Gaussian likelihoods, in fewer columns.
    """
    rows = [row for is_short, row in _vae_rows(results) if is_short or not short]
    columns = SHORT_VAE_COLUMNS if short else list(rows[0])
    return [columns, *([row.get(name, "") for name in columns] for row in rows)]


def _vae_rows(results):
    """Pairs of whether a row is in the short table too, and its cells by column."""
    trained = compare_cvaes.read_trained(results, required=True)
    for dataset, vaes in itertools.groupby(trained, lambda x: x["config"]["dataset"]):
        for vae in vaes:
            is_short = vae["config"]["likelihood"] == "gaussian"
            yield is_short, {TITLE: f"{dataset}, {vae['title']}", **_vae_cells(vae)}
        if reference := DATASETS[dataset].cvae.reference:
            yield (
                True,
                {
                    TITLE: f"{dataset}, the reference notebook (training batches)",
                    "epochs": reference.epochs,
                    "parameters": "20.1M",
                    "latents": 256,
                    "-ELBO, nats": f"{reference.negative_elbo:.0f}",
                },
            )
        linear = _read(results, f"linear_{dataset}")
        for latents, row in linear["negative_log_likelihood_by_latents"].items():
            baseline = f"linear VAE of {latents} latents"
            if row["full"]:
                baseline = "Gaussian with full covariance"
            yield (
                latents == LINEAR_VAE_LATENTS,
                {
                    TITLE: f"{dataset}, baseline: {baseline}",
                    "latents": latents,
                    "-ELBO, nats": f"{row['negative_elbo']:.0f}",
                },
            )


def _vae_cells(vae):
    test, scores = vae["test"], vae["scores"]
    style, correlation = min(scores["style"].items(), key=lambda item: item[1])
    return {
        "epochs": vae["epochs"],
        "minutes": f"{vae['minutes']:.0f}",
        "parameters": f"{vae['parameters'] / 1e6:.2f}M",
        "latents": compare_cvaes.latents_of(vae),
        "-ELBO, nats": f"{test['negative_elbo']:.0f}",
        "distortion": f"{test['distortion']:.0f}",
        "rate": f"{test['rate']:.0f}",
        "bits/dim": f"{test['bits_per_dim']:.2f}",
        "label accuracy": f"{scores['label_accuracy']:.2%}",
        "source accuracy": f"{scores['source_accuracy']:.2%}",
        "style correlation": f"{correlation:.2f} ({style})",
        "sharpness": f"{scores['sharpness']:.2f}",
        "leakage": f"{scores['leakage']:.0%}",
    }


def _runtimes(results):
    """The default UNet in other runtimes: difference, metrics, size, speed."""
    speeds = {
        (row["implementation"], row["batch_size"]): row
        for row in _read(results, "bench_inference")["rows"]
    }
    yield (
        "runtime",
        "mean difference",
        "mean IoU",
        "MiB",
        "ms, 1 image",
        "speed-up over model.predict",
        "images/s, batch of 32",
    )

    def speed(implementation):
        single, batch = speeds[implementation, 1], speeds[implementation, 32]
        yield f"{single['milliseconds']:.1f}"
        yield f"{single['speedup_over_predict']:.1f} x"
        yield f"{batch['images_per_second']:.0f}"

    yield "model.predict", "", "", "", *speed("model.predict")
    rows = {}
    for precision in ("float32", "int8"):
        rows |= _read(results, f"runtimes_unet_{precision}")["runtimes"]
    for name, title in RUNTIMES.items():
        if name not in rows:
            raise InputError(f"Expected {name} among the runtimes in {results}.")
        row = rows[name]
        difference = "" if name == "SavedModel" else f"{row['mean_difference']:.0e}"
        size = f"{row['bytes'] / 2**20:.1f}"
        yield title, difference, f"{row['mean_iou']:.4f}", size, *speed(title)


def _speed_of_unets(results):
    """Training speed of each UNet beside PyTorch's, images per second."""
    keys = ("filters", "down", "up", "precision", "implementation")
    speeds = _speeds(results, ("bench_unet", "bench_unet_32"), keys)
    precisions = ("float32", "bfloat16")
    columns = [(x, name) for x in precisions for name in ("ours", *PEERS)]
    yield "filters, blocks", *(f"{name}, {x}" for x, name in columns)
    for network in dict.fromkeys(key[:3] for key in speeds):
        cells = (f"{speeds[(*network, *column)]:.1f}" for column in columns)
        yield ", ".join(map(str, network)), *cells


def _speed_of_vaes(results):
    """Training speed beside PyTorch, and time to the reference notebook's -ELBO."""
    keys = ("dataset", "precision", "implementation")
    speeds = _speeds(results, ["bench_cvae"], keys)
    datasets = dict.fromkeys(key[0] for key in speeds)
    targets = {x: _read(results, f"time_to_target_{x}") for x in datasets}
    factors = {f"{x['config']['timeout_factor']:g}" for x in targets.values()}
    implementations = ("ours compact", "ours resnet18", *PEERS)
    yield (
        "data set, precision",
        *implementations,
        "seconds to the notebook's -ELBO",
        f"-ELBO of torch eager after {' and '.join(sorted(factors))} times as long",
    )
    for dataset, precision in dict.fromkeys(key[:2] for key in speeds):
        target, times = targets[dataset], ("", "")
        if target["precision"] == precision:
            goal = DATASETS[dataset].cvae.reference.negative_elbo
            peer = target["torch eager"]["curve"][-1][1]
            seconds = target["ours compact"]["seconds"]
            times = f"{seconds:.0f}", f"{peer:.0f} (notebook: {goal:.0f})"
        cells = (f"{speeds[dataset, precision, name]:.0f}" for name in implementations)
        yield f"{dataset}, {precision}", *cells, *times


def _speeds(results, files, keys):
    """Images per second, by the values that keys have in the files' rows."""
    rows = [row for name in files for row in _read(results, name)["rows"]]
    return {tuple(row[key] for key in keys): row["images_per_second"] for row in rows}


def _of_all_unets(table, results):
    """A table of `unet_tables`, of all networks compared."""
    return table(compare_unets.read_trained(results, required=True))


TABLES = {
    "unets": _unets,
    "unet_metrics": partial(_of_all_unets, unet_tables.metrics_table),
    "unet_differences": partial(_of_all_unets, unet_tables.differences_table),
    "unet_effects": partial(_of_all_unets, unet_tables.effects_table),
    "unet_costs": partial(_of_all_unets, unet_tables.costs_table),
    "vaes": partial(_vaes, short=True),
    "all_vaes": partial(_vaes, short=False),
    "runtimes": _runtimes,
    "speed_of_unets": _speed_of_unets,
    "speed_of_vaes": _speed_of_vaes,
}


if __name__ == "__main__":
    sys.exit(command_line.run(TablesConfig, main))
