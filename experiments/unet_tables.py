"""The UNets compared in tables, from the results that `compare_unets` writes.

A variant is a (down, up, loss).
"""

import itertools

import numpy as np

from unet_tf.config import UNetConfig
from unet_tf.evaluation import METRICS

# The four of the assignment; --grid adds the others.
PAIRS = (
    ("maxpool", "transpose", "bce"),
    ("maxpool", "transpose", "dice"),
    ("strided", "transpose", "bce"),
    ("strided", "upsample", "dice"),
)
# The choices of each option, the plainer first.
CHOICES = (("maxpool", "strided"), ("transpose", "upsample"), ("bce", "dice"))
GRID = tuple(itertools.product(*CHOICES))
DEFAULT = (UNetConfig.down, UNetConfig.up, UNetConfig.loss)
RESAMPLES = 2000  # for the confidence interval of a difference
FIGURES = (
    "Test images, their masks, and the predictions of the four networks of the "
    "assignment:",
    "",
    "![Images, masks and the predictions of the four networks](unets.png)",
    "",
    "The predicted probability of the pet near its outline, enlarged, to look for "
    "checkerboard patterns:",
    "",
    "![The probability of the pet, enlarged, of the four networks](unet_close_up.png)",
    "",
    "Mean IoU over the epochs, one line per seed:",
    "",
    "![Training and validation curves of each network](unet_curves.png)",
    "",
)


def name_of(variant, seed):
    """The name of a run; that of seed 0 is train_unet.py's default."""
    return "_".join(("unet", *variant)) + (f"_seed{seed}" if seed else "")


def title_of(variant):
    """The title of a variant in tables: "max-pool, transpose, BCE"."""
    words = {"maxpool": "max-pool", "bce": "BCE", "dice": "Dice"}
    return ", ".join(words.get(choice, choice) for choice in variant)


def as_markdown(trained):
    """The text of unets.md.

    Args:
        trained: as `read_trained` returns it.
    """
    first, *others = trained
    images = trained[first][0]["images"]
    commands = {x["command"] for results in trained.values() for x in results}
    lines = [
        "# UNets compared",
        "",
        f"The pets at 128 x 128: {images['train']} images for training, "
        f"{images['validation']} for choosing the epoch, {images['test']} test images. "
        "All metrics are on the test images: mean and standard deviation over the "
        "seeds. Small pets are the smallest third. Calibration error: expected "
        "calibration error of pixels. Checkerboard: strength of a checkerboard pattern "
        "in the probabilities. MACs: multiply-accumulate operations of one image's "
        "forward pass.",
        "",
        *sorted(f"    {command}" for command in commands),
        "",
        *_metrics_table(trained),
        "",
        *_costs_table(trained),
        "",
        "Difference in mean IoU, computed per image (the tables pool the pixels of all "
        f"images), from {title_of(first)}, with its 95 % confidence interval from a "
        "paired bootstrap over images, and over seeds where there are several:",
        "",
    ]
    for variant in others:
        pairs = _same_seed(trained[first], trained[variant])
        if not pairs:
            continue
        mean, low, high = difference(*zip(*pairs, strict=True))
        seeds = "one seed" if len(pairs) == 1 else f"{len(pairs)} seeds"
        lines.append(
            f"- {title_of(variant)}: {mean:+.4f} ({low:+.4f} to {high:+.4f}), {seeds}"
        )
    return "\n".join([*lines, "", *_changes_table(trained), *FIGURES])


def difference(one, other):
    """How much higher the second's mean IoU per image is, and a confidence interval.

    Args:
        one, other: lists of results of the same seeds.

    Returns:
        The mean, and the limits of the 95 % interval of a paired bootstrap over seeds
        and images; of one seed, over images alone.
    """
    differences = np.array([x["mean_iou_per_image"] for x in other]) - np.array(
        [x["mean_iou_per_image"] for x in one]
    )
    generator, (seeds, count) = np.random.default_rng(0), differences.shape
    rows = generator.integers(0, seeds, (RESAMPLES, seeds, 1))
    columns = generator.integers(0, count, (RESAMPLES, 1, count))
    means = differences[rows, columns].mean((1, 2))
    return float(differences.mean()), *map(float, np.quantile(means, (0.025, 0.975)))


def _same_seed(one, other):
    """The pairs of two lists of results that have the same seed."""
    return [
        (x, y) for x in one for y in other if x["config"]["seed"] == y["config"]["seed"]
    ]


def _mean_and_deviation(values, sign=""):
    deviation = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.4f}{deviation}"


def _metrics_table(trained):
    yield f"| network | {' | '.join(METRICS.values())} |"
    yield "|---" * (len(METRICS) + 1) + "|"
    for variant, results in trained.items():
        cells = (
            _mean_and_deviation([x["metrics"][name] for x in results])
            for name in METRICS
        )
        yield f"| {title_of(variant)} | {' | '.join(cells)} |"


def _costs_table(trained):
    yield "| network | seeds | parameters | MACs | images/s | minutes |"
    yield "|---|---|---|---|---|---|"
    for variant, results in trained.items():
        one = results[0]
        speed = np.mean([x["images_per_second"] for x in results])
        minutes = np.mean([x["minutes"] for x in results])
        yield (
            f"| {title_of(variant)} | {len(results)} | {one['parameters']:,} | "
            f"{one['macs'] / 1e9:.2f} G | {speed:.1f} | {minutes:.1f} |"
        )


def _changes_table(trained):
    """The effect of changing one option, over all variants that differ in it alone."""
    changes = {}
    for place, (before, after) in enumerate(CHOICES):
        pairs = [
            pair
            for variant in trained
            if variant[place] == before
            for pair in _same_seed(
                trained[variant],
                trained.get((*variant[:place], after, *variant[place + 1 :]), ()),
            )
        ]
        if pairs:
            title = f"{title_of((after,))} for {title_of((before,))}"
            changes[f"{title}, {len(pairs)} pairs"] = {
                name: [y["metrics"][name] - x["metrics"][name] for x, y in pairs]
                for name in METRICS
            }
    if changes:
        yield "Effect of changing one option, mean and standard deviation over pairs:"
        yield ""
        yield f"| change | {' | '.join(METRICS.values())} |"
        yield "|---" * (len(METRICS) + 1) + "|"
        for title, metrics in changes.items():
            cells = (_mean_and_deviation(change, "+") for change in metrics.values())
            yield f"| {title} | {' | '.join(cells)} |"
        yield ""
        several = {x: y for x, y in changes.items() if len(y["accuracy"]) > 1}
        yield from (f"- {title}: {_in_words(x)}." for title, x in several.items())
        yield ""


def _in_words(changes):
    """The metrics that rise or fall in every pair."""
    directions = {
        "raises": [name for name, x in changes.items() if min(x) > 0],
        "lowers": [name for name, x in changes.items() if max(x) < 0],
    }
    sentences = [
        f"{verb} {', '.join(METRICS[name] for name in names)} in every pair"
        for verb, names in directions.items()
        if names
    ]
    return "; ".join(sentences) or "no metric changes in the same direction everywhere"
