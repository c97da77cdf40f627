"""Train the UNets of the assignment with several seeds and compare them.

`--no-train` only redraws the figures from results/*.json. `tables.py` fills the tables.
"""

import dataclasses
import itertools
import sys

import numpy as np
from comparison import CompareOptions, panels
from unet_tables import ASSIGNMENT, DEFAULT, GRID, name_of, title_of

from train_tf import command_line
from train_tf.command_line import to_dict
from train_tf.config import OPTIONS_NOT_COMPARED
from train_tf.data.datasets import BUNDLED
from train_tf.devices import resolve_precision
from train_tf.distributed.cluster import check_alone
from train_tf.errors import InputError
from train_tf.export import saved_model_of
from train_tf.files import read_json, write_json
from train_tf.run.report import save_figure
from unet_tf.config import UNetConfig
from unet_tf.data import Split, load_data
from unet_tf.evaluation import evaluate, probabilities_of
from unet_tf.report import draw_predictions
from unet_tf.training import EXAMPLES, train

# Options that compared trainings may differ in; results hold the precision used.
MAY_DIFFER = OPTIONS_NOT_COMPARED | {"down", "up", "loss", "seed", "precision"}


@dataclasses.dataclass(frozen=True)
class CompareUNetsConfig(CompareOptions):
    """Train the four UNets of the assignment, or resume them, and compare them."""

    grid: bool = False
    """Compare all eight combinations of --down, --up, and BCE or Dice."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each network is trained once per seed."""

    epochs: int = 40
    """Number of passes over the training images."""

    def __post_init__(self):
        if not self.seeds:
            raise InputError("Expected --seeds to name one. Received none.")


def compare(config):
    """Train what is not trained yet, evaluate it, and draw the figures.

    Args:
        config: a `CompareUNetsConfig`.

    Raises:
        InputError: as `unet_tf.train`; and if earlier results are not comparable.
    """
    check_alone("a comparison")
    if config.train:
        _train(config)
    draw_figures(config.out, config.saved_models_dir)


def _train(config):
    wanted = [
        UNetConfig(
            *variant,
            epochs=config.epochs,
            seed=seed,
            data_dir=config.data_dir,
            name=name_of(variant, seed),
            runs_dir=config.runs_dir,
            saved_models_dir=config.saved_models_dir,
            resume=True,
        )
        for seed, variant in itertools.product(
            config.seeds, GRID if config.grid else ASSIGNMENT
        )
    ]
    _check_comparable_with_earlier(config, wanted)
    for unet in wanted:
        results = train(unet)
        evaluated = evaluate(results["saved_model"], load_data(unet))
        write_json(config.out / f"{unet.name}.json", {**results, **evaluated})


def _check_comparable_with_earlier(config, wanted):
    """Reject before training what `read_trained` would reject afterwards.

    Raises:
        InputError: says what differs.
    """
    earlier = [x for results in read_trained(config.out).values() for x in results]
    if earlier:
        unet = wanted[0]
        expected = {
            "run_name": unet.name,
            "config": to_dict(unet),
            "epochs": unet.epochs,
            "images": load_data(unet).counts,
            "precision": resolve_precision(unet.precision),
        }
        _check_comparable([earlier[0], expected], config.out)
    for unet in wanted:
        file = unet.run_folder / "results.json"
        epochs = read_json(file).get("epochs", 0) if file.exists() else 0
        if epochs > unet.epochs:
            raise InputError(
                f"Expected a run of at most {unet.epochs} epochs in {unet.run_folder}. "
                f"It has {epochs}. Use another --runs-dir and --saved-models-dir."
            )


def draw_figures(folder, saved_models_dir):
    """Draw the figures of existing results.

    Args:
        folder: has the JSON files of `compare`; gets unets.png, unet_curves.png,
            unet_close_up.png and unet_predictions.png, the last of the default network.
            The images in them are bundled ones.
        saved_models_dir: has the SavedModels of the first seed.

    Raises:
        InputError: if there are no such files or SavedModels.
    """
    trained = read_trained(folder, required=True)
    draw_curves(folder / "unet_curves.png", trained)
    pets = load_data(UNetConfig(data_dir=BUNDLED))
    examples = Split(*(array[:EXAMPLES] for array in pets.test))
    probabilities = {
        variant: probabilities_of(
            saved_model_of(trained[variant][0], saved_models_dir), examples.images
        )
        for variant in ASSIGNMENT
        if variant in trained
    }
    draw_close_up(folder / "unet_close_up.png", examples, probabilities)
    masks = {variant: x.argmax(-1) for variant, x in probabilities.items()}
    figures = {"unets.png": {title_of(variant): x for variant, x in masks.items()}}
    if DEFAULT in masks:
        figures["unet_predictions.png"] = {"prediction": masks[DEFAULT]}
    for name, predicted in figures.items():
        classes = (pets.class_names, pets.colours)
        draw_predictions(folder / name, *examples[:2], predicted, *classes)


def read_trained(folder, required=False):
    """The results that `compare` wrote, the networks of the assignment first.

    Returns:
        Variant to a list of dicts, one per seed.

    Raises:
        InputError: if they differ in more than variant and seed, or are required and
            missing.
    """
    found = {}
    for variant in dict.fromkeys(ASSIGNMENT + GRID):
        name = name_of(variant, 0)
        files = [folder / f"{name}.json", *folder.glob(f"{name}_seed*.json")]
        results = [read_json(file) for file in files if file.exists()]
        results = [x for x in results if "metrics" in x]  # not of train_unet.py alone
        if results:
            found[variant] = sorted(results, key=lambda x: x["config"]["seed"])
    if required and not found:
        raise InputError(
            f"Expected results of compare_unets.py in {folder}. Found none."
        )
    _check_comparable([x for results in found.values() for x in results], folder)
    return found


def _check_comparable(trained, folder):
    """Reject results that differ in more than variant and seed."""

    def common(results):
        options = {x: y for x, y in results["config"].items() if x not in MAY_DIFFER}
        names = ("epochs", "images", "precision")
        return options | {name: results[name] for name in names if name in results}

    for other in trained[1:]:
        a, b = common(trained[0]), common(other)
        for name in a:
            if name in b and a[name] != b[name]:
                raise InputError(
                    f"Expected trainings with the same {name} in {folder}. Received: "
                    f"{trained[0]['run_name']} {a[name]}, {other['run_name']} "
                    f"{b[name]}. Use another --out."
                )


def draw_curves(path, trained):
    """Draw training and validation mean IoU over the epochs, one panel per variant."""
    columns = min(4, len(trained))
    rows = -(-len(trained) // columns)
    figure, axes = panels(rows, columns, 3.2, 3.0, sharex=True, sharey=True)
    for axis, (variant, results) in zip(axes.flat, trained.items(), strict=False):
        for history in (x["history"] for x in results):
            epochs = [row["epoch"] for row in history]
            for name, style, colour in (
                ("mean_iou", "--", "darkorange"),
                ("val_mean_iou", "-", "black"),
            ):
                values = [row[name] for row in history]
                axis.plot(epochs, values, style, color=colour, linewidth=1)
        axis.set_title(title_of(variant), fontsize=9)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(["training", "validation"], fontsize=8)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("mean IoU", fontsize=9)
    save_figure(figure, path)


def draw_close_up(path, test, probabilities, side=40):
    """Draw the probability of the pet near its outline, enlarged.

    Args:
        path: the file to write.
        test: the `unet_tf.data.Split` to draw.
        probabilities: variant to its probabilities, (count, height, width, classes).
        side: pixels of the region that is shown.
    """
    columns, rows = min(5, len(test.images)), len(probabilities) + 1
    figure, axes = panels(rows, columns, 1.9, 1.95)
    for column in range(columns):
        outline = np.argwhere(test.masks[column, ..., 0] == 2)
        middle = outline[len(outline) // 3] - side // 2
        top, left = np.clip(middle, 0, len(test.masks[column]) - side)
        region = np.s_[column, top : top + side, left : left + side]
        axes[0, column].imshow(test.images[region])
        for axis, values in zip(axes[1:, column], probabilities.values(), strict=True):
            axis.imshow(values[region][..., 0], cmap="gray", vmin=0, vmax=1)
    titles = ("image", *map(title_of, probabilities))
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title.replace(", ", ",\n", 1), fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(command_line.run(CompareUNetsConfig, compare))
