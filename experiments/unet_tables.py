"""Tables of the UNets compared, from the results that `compare_unets` writes.

A variant is a (down, up, loss).
"""

import itertools

import numpy as np

from unet_tf.config import UNetConfig
from unet_tf.evaluation import METRICS

# The four of the assignment; --grid adds the others.
ASSIGNMENT = (
    ("maxpool", "transpose", "bce"),
    ("maxpool", "transpose", "dice"),
    ("strided", "transpose", "bce"),
    ("strided", "upsample", "dice"),
)
# The values of each option, the baseline first.
CHOICES = (("maxpool", "strided"), ("transpose", "upsample"), ("bce", "dice"))
GRID = tuple(itertools.product(*CHOICES))
DEFAULT = (UNetConfig.down, UNetConfig.up, UNetConfig.loss)
RESAMPLES = 2000  # for the confidence interval of a difference


def name_of(variant, seed):
    """The name of a run; for seed 0 it is the default name of train_unet.py."""
    return "_".join(("unet", *variant)) + (f"_seed{seed}" if seed else "")


def title_of(variant):
    """The title of a variant in tables: "max-pool, transpose, BCE"."""
    words = {"maxpool": "max-pool", "bce": "BCE", "dice": "Dice"}
    return ", ".join(words.get(choice, choice) for choice in variant)


def metrics_table(trained):
    """Every metric of each variant, mean and standard deviation over seeds.

    Args:
        trained: as `compare_unets.read_trained` returns it; so for the tables below.
    """
    yield "network", *METRICS.values()
    for variant, results in trained.items():
        cells = ([x["metrics"][name] for x in results] for name in METRICS)
        yield title_of(variant), *map(_mean_and_deviation, cells)


def costs_table(trained):
    """Size and speed of each variant."""
    yield "network", "seeds", "parameters", "MACs", "images/s", "minutes"
    for variant, results in trained.items():
        one = results[0]
        speed = np.mean([x["images_per_second"] for x in results])
        minutes = np.mean([x["minutes"] for x in results])
        yield (
            title_of(variant),
            len(results),
            f"{one['parameters']:,}",
            f"{one['macs'] / 1e9:.2f} G",
            f"{speed:.1f}",
            f"{minutes:.1f}",
        )


def differences_table(trained):
    """Difference of each variant's mean IoU per image from the first variant's."""
    first, *others = trained
    yield f"network, against {title_of(first)}", "mean IoU", "95 % interval", "seeds"
    for variant in others:
        if pairs := _same_seed(trained[first], trained[variant]):
            mean, low, high = difference(*zip(*pairs, strict=True))
            interval = f"{low:+.4f} to {high:+.4f}"
            yield title_of(variant), f"{mean:+.4f}", interval, len(pairs)


def effects_table(trained):
    """The effect of changing one option, over all variants that differ in it alone."""
    yield "change", "pairs", *METRICS.values()
    for position, (before, after) in enumerate(CHOICES):
        pairs = [
            pair
            for variant in trained
            if variant[position] == before
            for pair in _same_seed(
                trained[variant],
                trained.get((*variant[:position], after, *variant[position + 1 :]), ()),
            )
        ]
        if pairs:
            title = f"{title_of((after,))} for {title_of((before,))}"
            changes = (
                [y["metrics"][name] - x["metrics"][name] for x, y in pairs]
                for name in METRICS
            )
            yield title, len(pairs), *(_mean_and_deviation(x, "+") for x in changes)


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
