"""UNets compared: the same photographs, several seeds, and what the parts change."""

import itertools

import numpy as np
from matplotlib import pyplot as plt

from train_tf import export
from train_tf.datasets import BUNDLED
from train_tf.errors import InputError
from train_tf.files import read_json, write_json, write_text
from train_tf.report import save_figure
from unet_tf import data
from unet_tf.config import UNetConfig
from unet_tf.data import load_photographs
from unet_tf.masks import IGNORE
from unet_tf.report import (
    colour_masks,
    confusion_of,
    draw_predictions,
    figures_of,
)
from unet_tf.training import SHOWN, train

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
BATCH = 32
BINS = 15  # of confidence, for the calibration error
RESAMPLES = 2000  # of the test photographs, for the uncertainty of a difference
PICTURES = (
    "Test photographs, their masks, and what the four networks of the assignment make "
    "of them:",
    "",
    "![Photographs, masks and the four networks' predictions](unets.png)",
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
FIGURES = {
    "accuracy": "accuracy",
    "mean_iou": "mean IoU",
    "iou_pet": "IoU pet",
    "iou_background": "IoU background",
    "iou_outline": "IoU outline",
    "dice": "Dice",
    "iou_small": "IoU pet, small pets",
    "calibration_error": "calibration error",
    "checkerboard": "checkerboard",
}


def compare(config):
    """Train what is not trained yet, look at it, and report.

    Args:
        config: a `unet_tf.config.CompareUNetsConfig`.

    Returns:
        The report, as text.

    Raises:
        InputError: as `unet_tf.train`.
    """
    wanted = itertools.product(config.seeds, GRID if config.grid else PAIRS)
    for seed, parts in wanted if config.train else ():
        own = UNetConfig(
            *parts,
            epochs=config.epochs,
            seed=seed,
            data_dir=config.data_dir,
            name=name_of(parts, seed),
            runs_dir=config.runs_dir,
            saved_models_dir=config.saved_models_dir,
            resume=True,
        )
        results = train(own)
        write_json(
            config.out / f"{own.name}.json",
            {
                **results,
                **look_at(results["saved_model"], load_photographs(own)),
            },
        )
    return report(config.out, config.saved_models_dir)


def report(folder, saved_models_dir):
    """Write tables and pictures of what was compared before.

    Args:
        folder: has the JSON files of `compare`, and gets unets.md, unets.png,
            unet_curves.png, unet_close_up.png and, of the default network,
            unet_predictions.png; the photographs are bundled ones.
        saved_models_dir: has the networks of the first seed.

    Returns:
        The text of unets.md.

    Raises:
        InputError: if there are no such files or networks.
    """
    trained = read_trained(folder)
    if not trained:
        raise InputError(
            f"Expected results of compare_unets.py in {folder}. Found none."
        )
    text = as_markdown(trained)
    write_text(folder / "unets.md", text)
    draw_curves(folder / "unet_curves.png", trained)
    test = load_photographs(UNetConfig(data_dir=BUNDLED)).test
    some = data.Part(*(array[:SHOWN] for array in test))
    probabilities = {
        parts: probabilities_of(
            saved_models_dir / trained[parts][0]["config"]["name"], some.photos
        )
        for parts in PAIRS
        if parts in trained
    }
    draw_photographs(folder / "unets.png", some, probabilities)
    draw_close_up(folder / "unet_close_up.png", some, probabilities)
    if DEFAULT in probabilities:
        draw_predictions(
            folder / "unet_predictions.png",
            some.photos,
            some.masks[..., 0],
            probabilities[DEFAULT].argmax(-1),
            data.PET_CLASSES,
            data.PET_COLOURS,
        )
    return text


def read_trained(folder):
    """The JSON files of `compare`: parts to a list of dicts, one a seed, the pairs of
    the assignment first.

    Raises:
        InputError: if they are of different photographs or differ in more than parts
            and seed.
    """
    found = {}
    for parts in dict.fromkeys(PAIRS + GRID):
        name = name_of(parts, 0)
        files = [folder / f"{name}.json", *folder.glob(f"{name}_seed*.json")]
        of_seeds = [read_json(file) for file in files if file.exists()]
        of_seeds = [one for one in of_seeds if "figures" in one]  # not train_unet.py's
        if of_seeds:
            found[parts] = sorted(of_seeds, key=lambda one: one["config"]["seed"])
    _check_alike([one for of_seeds in found.values() for one in of_seeds], folder)
    return found


def _check_alike(trained, folder):
    """What is compared shall differ in the parts and the seed alone."""
    for one in trained[1:]:
        for name in ("epochs", "images"):
            if one[name] != trained[0][name]:
                a, b = trained[0], one
                raise InputError(
                    f"Expected trainings in {folder} with equal {name}. Received: "
                    f"{a['config']['name']} {a[name]}, {b['config']['name']} {b[name]}."
                    " Give --out a folder of its own."
                )


def name_of(parts, seed):
    """The name of a run: seed 0 is the one that `train_unet.py` makes."""
    return "_".join(("unet", *parts)) + (f"_seed{seed}" if seed else "")


def title_of(parts):
    """What a network is called in tables: "max-pool, transpose, BCE"."""
    words = {"maxpool": "max-pool", "bce": "BCE", "dice": "Dice"}
    return ", ".join(words.get(part, part) for part in parts)


def probabilities_of(saved_model, photos):
    """What a SavedModel says of photographs, (count, height, width, classes)."""
    model, _ = export.load(saved_model, "UNet")
    segment = model.signatures["serving_default"]
    parts = [
        segment(image=photos[at : at + BATCH].astype("float32") / 255)["probabilities"]
        for at in range(0, len(photos), BATCH)
    ]
    return np.concatenate(parts)


def look_at(saved_model, photographs):
    """Judge a SavedModel on the test photographs.

    Returns:
        "figures", name to number, of `FIGURES`; and "ious", the mean IoU of each
        photograph.
    """
    test, names = photographs.test, photographs.class_names
    truth, probabilities = (
        test.masks[..., 0],
        probabilities_of(saved_model, test.photos),
    )
    predicted = probabilities.argmax(-1)
    sizes = (truth == names.index("pet")).mean((1, 2))
    small = sizes <= np.quantile(sizes, 1 / 3)
    ious = [
        figures_of(one, other, names)["mean_iou"]
        for one, other in zip(truth, predicted, strict=True)
    ]
    figures = {
        **figures_of(truth, predicted, names),
        "dice": mean_dice(confusion_of(truth, predicted, len(names))),
        "iou_small": figures_of(truth[small], predicted[small], names)["iou_pet"],
        "calibration_error": calibration_error(probabilities, truth),
        "checkerboard": checkerboard(probabilities),
    }
    return {"figures": figures, "ious": [round(iou, 4) for iou in ious]}


def mean_dice(confusion):
    """Twice the overlap over the sum of both, mean over classes, of pixel counts."""
    overlap = np.diagonal(confusion)
    return float(np.mean(2 * overlap / (confusion.sum(0) + confusion.sum(1))))


def calibration_error(probabilities, truth):
    """How far a network's confidence is from how often it is right, [0, 1].

    The expected calibration error of pixels, in bins of equal width of the largest
    probability (Guo et al. 2017, "On calibration of modern neural networks").

    Args:
        probabilities: (count, height, width, classes).
        truth: class ids, (count, height, width), 255 where ignored.
    """
    counted = truth != IGNORE
    sure = probabilities.max(-1)[counted].astype("float64")
    right = (probabilities.argmax(-1) == truth)[counted]
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, sure - right, BINS)
    return float(np.abs(gaps).sum() / len(sure))


def checkerboard(probabilities):
    """How strongly neighbours differ as the fields of a chessboard do, [0, 0.5].

    The mean, over all 2x2 pixels and classes, of half the difference of both diagonals'
    means.

    Args:
        probabilities: (count, height, width, classes).
    """
    p = probabilities
    diagonals = p[:, :-1, :-1] + p[:, 1:, 1:] - p[:, :-1, 1:] - p[:, 1:, :-1]
    return float(np.abs(diagonals).mean() / 4)


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
            f"{one['multiplications'] / 1e9:.2f} G | {speed:.1f} | {minutes:.1f} |"
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


def draw_photographs(path, test, probabilities):
    """Photographs in rows: photograph, truth, and what each network makes of it.

    Args:
        path: the picture to write.
        test: the `unet_tf.data.Part` to draw.
        probabilities: parts to what their network says of it.
    """
    truth, names, colours = test.masks[..., 0], data.PET_CLASSES, data.PET_COLOURS
    titles = ("photograph", "truth", *map(title_of, probabilities))
    rows, columns = len(truth), len(titles)
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        figsize=(1.75 * columns, 1.95 * rows + 0.7),
        layout="constrained",
    )
    for row, of_row in enumerate(axes):
        predicted = [p[row].argmax(-1) for p in probabilities.values()]
        masks = [colour_masks(mask, colours) for mask in (truth[row], *predicted)]
        for axis, picture in zip(of_row, (test.photos[row], *masks), strict=True):
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
        for axis, mask in zip(of_row[2:], predicted, strict=True):
            iou = figures_of(truth[row], mask, names)["mean_iou"]
            axis.set_xlabel(f"mean IoU {iou:.2f}", fontsize=8)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title.replace(", ", ",\n", 1), fontsize=9)
    patches = [plt.Rectangle((0, 0), 1, 1, color=np.array(c) / 255) for c in colours]
    figure.legend(patches, names, loc="outside lower center", ncols=len(names))
    save_figure(figure, path)


def draw_curves(path, trained):
    """Mean IoU over the epochs, of training and validation: a panel a network."""
    columns = min(4, len(trained))
    rows = -(-len(trained) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.2 * columns, 3.0 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (parts, of_seeds) in zip(axes.flat, trained.items(), strict=False):
        for one in of_seeds:
            epochs = [row["epoch"] for row in one["history"]]
            for name, style, colour in (
                ("mean_iou", "--", "darkorange"),
                ("val_mean_iou", "-", "black"),
            ):
                figures = [row[name] for row in one["history"]]
                axis.plot(epochs, figures, style, color=colour, linewidth=1)
        axis.set_title(title_of(parts), fontsize=9)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(["training", "validation"], fontsize=8)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("mean IoU", fontsize=9)
    save_figure(figure, path)


def draw_close_up(path, test, probabilities, side=40):
    """The pet's probability around a bit of its outline, enlarged.

    Args:
        path, test, probabilities: as in `draw_photographs`.
        side: pixels of the part that is shown.
    """
    columns, rows = min(5, len(test.photos)), len(probabilities) + 1
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        figsize=(1.9 * columns, 1.95 * rows),
        layout="constrained",
    )
    for column in range(columns):
        outline = np.argwhere(test.masks[column, ..., 0] == 2)
        middle = outline[len(outline) // 3] - side // 2
        top, left = np.clip(middle, 0, len(test.masks[column]) - side)
        part = np.s_[column, top : top + side, left : left + side]
        axes[0, column].imshow(test.photos[part])
        for axis, of_network in zip(
            axes[1:, column], probabilities.values(), strict=True
        ):
            axis.imshow(of_network[part][..., 0], cmap="gray", vmin=0, vmax=1)
    for axis, title in zip(
        axes[:, 0], ("photograph", *map(title_of, probabilities)), strict=True
    ):
        axis.set_ylabel(title.replace(", ", ",\n", 1), fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    save_figure(figure, path)
