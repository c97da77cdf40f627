"""UNets compared: the same photographs, several seeds, and what the parts change."""

import dataclasses
import itertools
import sys

import numpy as np
from comparison import CompareOptions
from matplotlib import pyplot as plt
from unet_tables import DEFAULT, GRID, PAIRS, as_markdown, name_of, title_of

from train_tf import command_line
from train_tf.command_line import to_dict
from train_tf.config import WHERE_AND_HOW
from train_tf.data.datasets import BUNDLED
from train_tf.devices import resolve_precision
from train_tf.distributed.cluster import check_alone
from train_tf.errors import InputError
from train_tf.export import saved_model_of
from train_tf.files import read_json, write_json, write_text
from train_tf.run.report import save_figure
from unet_tf import data
from unet_tf.config import UNetConfig
from unet_tf.data import load_data
from unet_tf.evaluation import look_at, probabilities_of
from unet_tf.report import draw_predictions
from unet_tf.training import SHOWN, train

# Options that are of one training, or say less than its results do.
OWN = WHERE_AND_HOW | {"down", "up", "loss", "seed", "name", "precision"}


@dataclasses.dataclass(frozen=True)
class CompareUNetsConfig(CompareOptions):
    """Train the four UNets of the assignment, or go on with them, and compare them."""

    grid: bool = False
    """All eight of down, up, and BCE or Dice."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Each network is trained once with each seed."""

    epochs: int = 40
    """How often a training sees every image."""

    def __post_init__(self):
        if not self.seeds:
            raise InputError("Expected --seeds to name one. Received none.")


def compare(config):
    """Train what is not trained yet, look at it, and report.

    Args:
        config: a `unet_tf.config.CompareUNetsConfig`.

    Returns:
        The report, as text.

    Raises:
        InputError: as `unet_tf.train`, and if it does not go with earlier results.
    """
    check_alone("a comparison")
    if config.train:
        _train(config)
    return report(config.out, config.saved_models_dir)


def _train(config):
    wanted = [
        UNetConfig(
            *parts,
            epochs=config.epochs,
            seed=seed,
            data_dir=config.data_dir,
            name=name_of(parts, seed),
            runs_dir=config.runs_dir,
            saved_models_dir=config.saved_models_dir,
            resume=True,
        )
        for seed, parts in itertools.product(
            config.seeds, GRID if config.grid else PAIRS
        )
    ]
    _check_goes_with_earlier(config, wanted)
    for own in wanted:
        results = train(own)
        seen = look_at(results["saved_model"], load_data(own))
        write_json(config.out / f"{own.name}.json", {**results, **seen})


def _check_goes_with_earlier(config, wanted):
    """Refuse what `read_trained` would refuse to put into one table, before training.

    Raises:
        InputError: says what is otherwise.
    """
    earlier = [one for seeds in read_trained(config.out).values() for one in seeds]
    if earlier:
        own = wanted[0]
        told = {
            "config": to_dict(own),
            "epochs": own.epochs,
            "images": load_data(own).counts,
            "precision": resolve_precision(own.precision),
        }
        _check_alike([earlier[0], told], config.out)
    for own in wanted:
        file = own.run_folder / "results.json"
        epochs = read_json(file).get("epochs", 0) if file.exists() else 0
        if epochs > own.epochs:
            raise InputError(
                f"Expected a run of {own.epochs} epochs or fewer in {own.run_folder}. "
                f"It has {epochs}. Give --runs-dir and --saved-models-dir folders of "
                "their own."
            )


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
    test = load_data(UNetConfig(data_dir=BUNDLED)).test
    some = data.Part(*(array[:SHOWN] for array in test))
    probabilities = {
        parts: probabilities_of(
            saved_model_of(trained[parts][0], saved_models_dir), some.photos
        )
        for parts in PAIRS
        if parts in trained
    }
    draw_close_up(folder / "unet_close_up.png", some, probabilities)

    def draw(name, predicted):
        kinds = (data.PET_CLASSES, data.PET_COLOURS)
        draw_predictions(folder / name, *some[:2], predicted, *kinds)

    masks = {parts: p.argmax(-1) for parts, p in probabilities.items()}
    draw("unets.png", {title_of(parts): mask for parts, mask in masks.items()})
    if DEFAULT in masks:
        draw("unet_predictions.png", {"prediction": masks[DEFAULT]})
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

    def of_all(one):
        options = {x: y for x, y in one["config"].items() if x not in OWN}
        told = ("epochs", "images", "precision")
        return options | {name: one[name] for name in told if name in one}

    for other in trained[1:]:
        a, b = of_all(trained[0]), of_all(other)
        for name in a:
            if name in b and a[name] != b[name]:
                raise InputError(
                    f"Expected trainings in {folder} with equal {name}. Received: "
                    f"{trained[0]['config']['name']} {a[name]}, "
                    f"{other['config']['name']} {b[name]}. "
                    "Give --out a folder of its own."
                )


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
        path: the picture to write.
        test: the `unet_tf.data.Part` to draw.
        probabilities: parts to what their network says of it.
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


if __name__ == "__main__":
    sys.exit(
        command_line.run(CompareUNetsConfig, lambda config: print(compare(config)))
    )
