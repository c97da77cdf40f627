"""UNets compared in words and tables, from what `compare_unets` found of each."""

import itertools

import numpy as np

from unet_tf.config import UNetConfig
from unet_tf.evaluation import FIGURES

# The four of the assignment; the others come with `grid`.
PAIRS = (
    ("maxpool", "transpose", "bce"),
    ("maxpool", "transpose", "dice"),
    ("strided", "transpose", "bce"),
    ("strided", "upsample", "dice"),
)
# What each part can be, the plainer first.
CHANGES = (("maxpool", "strided"), ("transpose", "upsample"), ("bce", "dice"))
DEFAULT = (UNetConfig.down, UNetConfig.up, UNetConfig.loss)
GRID = tuple(itertools.product(*CHANGES))
RESAMPLES = 2000  # of the test photographs, for the uncertainty of a difference
PICTURES = (
    "Test photographs, their masks, and what the four networks of the assignment make "
    "of them:",
    "",
    "![SegmentationData, masks and the four networks' predictions](unets.png)",
    "",
    "The pet's probability around bits of its outline, enlarged, to look for a "
    "checkerboard in:",
    "",
    "![The pet's probability, enlarged, of the four networks](unet_close_up.png)",
    "",
    "Mean IoU over the epochs, a line for each seed:",
    "",
    "![Curves of training and validation of each network](unet_curves.png)",
    "",
)


def name_of(parts, seed):
    """The name of a run: seed 0 is the one that `train_unet.py` makes."""
    return "_".join(("unet", *parts)) + (f"_seed{seed}" if seed else "")


def title_of(parts):
    """What a network is called in tables: "max-pool, transpose, BCE"."""
    words = {"maxpool": "max-pool", "bce": "BCE", "dice": "Dice"}
    return ", ".join(words.get(part, part) for part in parts)


def as_markdown(trained):
    """The report: figures of each network, and what each part changes.

    Args:
        trained: as `read_trained` gives it.
    """
    first, *others = trained
    images = trained[first][0]["images"]
    lines = [
        "# UNets compared",
        "",
        f"The pets at 128 x 128: {images['train']} photographs for training, "
        f"{images['validation']} for choosing the epoch, {images['test']} of the test "
        "part, from which all figures come. Mean and standard deviation over the "
        "seeds. Small pets are the smallest third; the calibration error is how far a "
        "pixel's confidence is from being right; the checkerboard is how much "
        "neighbours differ as the fields of a chessboard do; multiplications are those "
        "of one picture's forward pass.",
        "",
        *sorted({f"    {x['command']}" for seeds in trained.values() for x in seeds}),
        "",
        *_table(trained),
        "",
        *_costs(trained),
        "",
        f"Mean IoU of a photograph by itself, where the tables pool the pixels of all, "
        f"against {title_of(first)}; 95 % of resamples of the photographs, and of the "
        "seeds where there are several, lie between the limits:",
        "",
    ]
    for parts in others:
        pairs = _pairs(trained[first], trained[parts])
        if not pairs:
            continue
        mean, least, most = difference(*zip(*pairs, strict=True))
        seeds = "one seed" if len(pairs) == 1 else f"{len(pairs)} seeds"
        lines.append(
            f"- {title_of(parts)}: {mean:+.4f} ({least:+.4f} to {most:+.4f}), {seeds}"
        )
    return "\n".join([*lines, "", *_effects(trained), *PICTURES])


def _pairs(one, other):
    """What stands in two lists of dicts with the same seed."""
    return [(x, y) for x in one for y in other if _seed(x) == _seed(y)]


def _seed(one):
    return one["config"]["seed"]


def _spread(values, sign=""):
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.4f}{spread}"


def _table(trained):
    yield f"| network | {' | '.join(FIGURES.values())} |"
    yield "|---" * (len(FIGURES) + 1) + "|"
    for parts, of_seeds in trained.items():
        cells = (_spread([x["figures"][name] for x in of_seeds]) for name in FIGURES)
        yield f"| {title_of(parts)} | {' | '.join(cells)} |"


def _costs(trained):
    yield "| network | seeds | weights | multiplications | images/s | minutes |"
    yield "|---|---|---|---|---|---|"
    for parts, of_seeds in trained.items():
        one = of_seeds[0]
        speed = np.mean([x["images_per_second"] for x in of_seeds])
        minutes = np.mean([x["minutes"] for x in of_seeds])
        yield (
            f"| {title_of(parts)} | {len(of_seeds)} | {one['parameters']:,} | "
            f"{one['macs'] / 1e9:.2f} G | {speed:.1f} | {minutes:.1f} |"
        )


def _effects(trained):
    """What a change of one part alone makes, wherever both networks were trained."""
    changes = {}
    for place, (before, after) in enumerate(CHANGES):
        pairs = [
            pair
            for parts in trained
            if parts[place] == before
            for pair in _pairs(
                trained[parts],
                trained.get((*parts[:place], after, *parts[place + 1 :]), ()),
            )
        ]
        if pairs:
            title = f"{title_of((after,))} for {title_of((before,))}"
            changes[f"{title}, {len(pairs)} pairs"] = {
                name: [y["figures"][name] - x["figures"][name] for x, y in pairs]
                for name in FIGURES
            }
    if changes:
        yield "What one part alone changes, mean and standard deviation over the pairs:"
        yield ""
        yield f"| change | {' | '.join(FIGURES.values())} |"
        yield "|---" * (len(FIGURES) + 1) + "|"
        for title, of_figures in changes.items():
            cells = " | ".join(_spread(change, "+") for change in of_figures.values())
            yield f"| {title} | {cells} |"
        yield ""
        several = {x: y for x, y in changes.items() if len(y["accuracy"]) > 1}
        yield from (f"- {title}: {_told(x)}." for title, x in several.items())
        yield ""


def _told(changes):
    """In words, what goes the same way in every pair, of figure to its changes."""
    ways = {
        "raises": [name for name, x in changes.items() if min(x) > 0],
        "lowers": [name for name, x in changes.items() if max(x) < 0],
    }
    told = [
        f"{way} {', '.join(FIGURES[name] for name in names)} in each"
        for way, names in ways.items()
        if names
    ]
    return "; ".join(told) or "no figure goes the same way in all"


def difference(one, other):
    """How much better the second is, in mean IoU of a photograph, and how sure that is.

    Args:
        one, other: lists of what `compare` wrote, of the same seeds.

    Returns:
        The mean, and the limits within which 95 % of resamples of seeds and photographs
        lie (paired bootstrap); of one seed, of photographs alone.
    """
    apart = np.array([b["ious"] for b in other]) - np.array([a["ious"] for a in one])
    lot, (seeds, count) = np.random.default_rng(0), apart.shape
    some_seeds = lot.integers(0, seeds, (RESAMPLES, seeds, 1))
    photographs = lot.integers(0, count, (RESAMPLES, 1, count))
    means = apart[some_seeds, photographs].mean((1, 2))
    return float(apart.mean()), *map(float, np.quantile(means, (0.025, 0.975)))
