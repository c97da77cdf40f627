"""Train the variants of the conditional VAE; compare ELBO and relabelled images.

`--no-train` only redraws the figures from results/*.json. `tables.py` fills the tables.
"""

import dataclasses
import sys
from typing import Literal

from comparison import CompareOptions, panels

from cvae_tf.config import CVAEConfig
from cvae_tf.data import load_images
from cvae_tf.relabel import Relabeller, draw_wrong_labels, evaluate_relabelling
from cvae_tf.training import train
from train_tf import command_line
from train_tf.config import flag, names_in
from train_tf.data.datasets import BUNDLED, labelled_datasets
from train_tf.distributed.cluster import check_alone
from train_tf.errors import InputError
from train_tf.export import saved_model_of
from train_tf.files import read_json, write_json
from train_tf.run.report import save_figure, set_log_scale

NETWORKS = names_in("cvae_tf.networks", "NETWORKS")
EPOCHS = ("no_decoder_label_epochs", "plain_epochs", "reference_variant_epochs")
DISCRETIZED_EPOCHS = {"cifar10": 15}  # instead of the data set's default


@dataclasses.dataclass(frozen=True)
class CompareCVAEsConfig(CompareOptions):
    """Train conditional VAEs, or resume them, evaluate and compare them."""

    dataset: tuple[Literal[*labelled_datasets()], ...] = tuple(labelled_datasets())
    """Data sets to compare on."""

    network: tuple[Literal[*NETWORKS], ...] = NETWORKS
    """Networks to compare."""

    no_decoder_label_epochs: int = 2
    """Epochs of the compact network whose decoder does not receive the label."""

    plain_epochs: int = 3
    """Epochs of the plain network."""

    reference_variant_epochs: int = 1
    """Epochs of the ResNet18 variant of the reference notebook, which is slow."""

    def __post_init__(self):
        for option in EPOCHS:
            value = getattr(self, option)
            if value < 1:
                raise InputError(
                    f"Expected {flag(option)} of at least 1. Received: {value}"
                )


def variants(config, dataset):
    """Title to options of each variant that is compared on a data set."""
    return {
        "compact": {},
        "compact, decoder without label": {
            "decoder_label": False,
            "epochs": config.no_decoder_label_epochs,
        },
        "compact, discretised logistic": {
            "likelihood": "discretized_logistic",
            "epochs": DISCRETIZED_EPOCHS.get(dataset),
        },
        "plain": {"network": "plain", "epochs": config.plain_epochs},
        "ResNet18, reference variant (label for the encoder only)": {
            "network": "resnet18",
            "decoder_label": False,
            "epochs": config.reference_variant_epochs,
        },
    }


def compare(config):
    """Train what is not trained yet, evaluate it, and draw the figures.

    Args:
        config: a `CompareCVAEsConfig`.

    Raises:
        InputError: as `cvae_tf.train`; and if earlier results are not comparable.
    """
    check_alone("a comparison")
    if config.train:
        _train(config)
    draw_figures(config.out, config.saved_models_dir)


def _train(config):
    _check_comparable_with_earlier(config)
    wanted = [  # all options are checked before the first training
        (
            title,
            CVAEConfig(
                dataset=dataset,
                data_dir=config.data_dir,
                runs_dir=config.runs_dir,
                saved_models_dir=config.saved_models_dir,
                resume=True,
                **options,
            ),
        )
        for dataset in config.dataset
        for title, options in variants(config, dataset).items()
        if options.get("network", CVAEConfig.network) in config.network
    ]
    for title, cvae in wanted:
        results = train(cvae)
        folder = cvae.run_folder / "relabelled"
        text = evaluate_relabelling(
            results["saved_model"],
            folder,
            data_dir=config.data_dir,
            classifiers=config.runs_dir / "evaluation_classifiers",
        )
        print(text)
        results = {"title": title, **results}
        results["scores"] = read_json(folder / "scores.json")
        write_json(config.out / f"{cvae.run_name}.json", results)


def _check_comparable_with_earlier(config):
    """Reject other images than those of earlier results.

    Raises:
        InputError: says which.
    """
    trained = read_trained(config.out)
    for dataset in config.dataset:
        earlier = [x["images"] for x in trained if x["config"]["dataset"] == dataset]
        counts = load_images(dataset, config.data_dir).counts if earlier else None
        for other in earlier:
            if other != counts:
                raise InputError(
                    f"Expected images of {dataset} as in the results in {config.out}, "
                    f"{other}. Received: {counts}. Use another --out."
                )


def draw_figures(folder, saved_models_dir):
    """Draw the figures of existing results.

    Args:
        folder: has the JSON files of `compare`; gets cvae_curves.png, and for each VAE
            a folder with figures of bundled test images under wrong labels.
        saved_models_dir: has the SavedModels; figures of missing ones stay as they are.

    Raises:
        InputError: if there are no such files.
    """
    trained = read_trained(folder, required=True)
    file = folder / "reference_curves.json"
    reference = read_json(file)["negative_elbo"] if file.exists() else {}
    draw_curves(folder / "cvae_curves.png", trained, reference)
    for results in trained:
        model = saved_model_of(results, saved_models_dir)
        if model.is_dir():
            images = load_images(results["config"]["dataset"], BUNDLED)
            figures, names = folder / results["run_name"], images.class_names
            draw_wrong_labels(figures, Relabeller(model), images.test, names)


def read_trained(folder, required=False):
    """The results of `compare` in a folder, in the order of the tables.

    Returns:
        A list of dicts, by data set; the Gaussian likelihood first, in it the lowest
        negative ELBO.

    Raises:
        InputError: if they are required and missing.
    """
    found = [read_json(file) for file in folder.glob("cvae_*.json")]
    found = [results for results in found if "scores" in results]
    if required and not found:
        raise InputError(
            f"Expected results of compare_cvaes.py in {folder}. Found none."
        )
    return sorted(
        found,
        key=lambda results: (
            labelled_datasets().index(results["config"]["dataset"]),
            not _is_gaussian(results),
            results["test"]["negative_elbo"],
        ),
    )


def draw_curves(path, trained, reference):
    """Draw -ELBO of the validation images over the epochs, a panel per data set.

    Args:
        path: the PNG to write.
        trained: as from `read_trained`; only the Gaussian likelihood is drawn.
        reference: data set to the -ELBO of each epoch of the reference notebook's
            training batches.
    """
    datasets = labelled_datasets()
    figure, axes = panels(1, len(datasets), 4.6, 4.4)
    styles = ("-o", "--s", ":^", "-.d")
    for axis, dataset in zip(axes[0], datasets, strict=True):
        rows = [x for x in trained if x["config"]["dataset"] == dataset]
        for results, style in zip(filter(_is_gaussian, rows), styles, strict=False):
            axis.plot(
                [row["epoch"] for row in results["history"]],
                [row["val_negative_elbo"] for row in results["history"]],
                style,
                markersize=4,
                color="black",
                label=results["title"].replace(", ", ",\n").replace(" (", "\n("),
            )
        if dataset in reference:
            axis.plot(
                range(1, len(reference[dataset]) + 1),
                reference[dataset],
                color="darkorange",
                label="reference notebook,\ntraining batches",
            )
        set_log_scale(axis, (1, 2, 5))
        axis.set(title=dataset, xlabel="epoch")
        axis.grid(alpha=0.3)
        if axis.lines:
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15)}
            axis.legend(fontsize=7, ncols=2, **below)  # where it hides no curve
    axes[0, 0].set_ylabel("-ELBO of validation images, nats")
    save_figure(figure, path)


def latents_of(results):
    """Numbers of style latents and of detail latents, if any: "12 + 980"."""
    style = len(results["rate_per_latent"][0])
    details = results["latents"] - style
    return f"{style} + {details}" if details else f"{style}"


def _is_gaussian(results):
    return results["config"]["likelihood"] == "gaussian"


if __name__ == "__main__":
    sys.exit(command_line.run(CompareCVAEsConfig, compare))
