"""Train the forms of the conditional VAE and compare their ELBO and relabelling.

`--no-train` only rebuilds the tables and figures from results/*.json.
"""

import dataclasses
import sys
from typing import Literal

from comparison import CompareOptions
from matplotlib import pyplot as plt

from cvae_tf.config import CVAEConfig
from cvae_tf.data import load_images
from cvae_tf.relabel import Relabeller, draw_wrong_labels, evaluate_relabelling
from cvae_tf.training import train
from train_tf import command_line
from train_tf.config import flag
from train_tf.data.datasets import BUNDLED, DATASETS, labelled_datasets
from train_tf.distributed.cluster import check_alone
from train_tf.errors import InputError
from train_tf.export import saved_model_of
from train_tf.files import read_json, write_json, write_text
from train_tf.run.report import save_figure, set_log_scale

DISCRETIZED_EPOCHS = {"cifar10": 15}  # instead of the data set's default
INTRODUCTION = (
    "Metrics are on the test set. -ELBO, distortion and rate are in nats per image; "
    "lower is better. The likelihood is Gaussian with one shared scale unless the row "
    "names another one; nats of different likelihoods cannot be compared. The scale "
    "is at least half a grey level; the compact network on MNIST reaches that bound. "
    "Latents: style + details. -ELBO is of all latents, but a relabelled image is "
    "drawn from style and label alone. Label accuracy and source accuracy: share of "
    "images under a wrong label that an evaluation classifier, trained on real "
    "images, reads as the requested and as the true label. Style: the lowest "
    "correlation of a style measure before and after. Sharpness: difference of "
    "neighbouring pixels, as a share of that of the real images. Leakage: accuracy of "
    "a classifier that reads the label from the latents (chance: 10 %)."
)
COLUMNS = (
    "| network | parameters | latents | epochs | minutes | -ELBO | distortion | rate "
    "| bits/dim | label accuracy | source accuracy | style | sharpness | leakage |"
)


@dataclasses.dataclass(frozen=True)
class CompareCVAEsConfig(CompareOptions):
    """Train conditional VAEs, or resume them, evaluate and compare them."""

    dataset: tuple[Literal[*labelled_datasets()], ...] = tuple(labelled_datasets())
    """Data sets to compare on."""

    no_decoder_label_epochs: int = 2
    """Epochs of the compact network whose decoder does not receive the label."""

    reference_form_epochs: int = 1
    """Epochs of the ResNet18 in the form of the reference notebook, which is slow."""

    def __post_init__(self):
        for option in ("no_decoder_label_epochs", "reference_form_epochs"):
            value = getattr(self, option)
            if value < 1:
                raise InputError(
                    f"Expected {flag(option)} of at least 1. Received: {value}"
                )


def forms(config, dataset):
    """Title to options of each VAE that is compared on a data set."""
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
        "plain": {"network": "plain"},
        "ResNet18, reference form (label for the encoder only)": {
            "network": "resnet18",
            "decoder_label": False,
            "epochs": config.reference_form_epochs,
        },
    }


def compare(config):
    """Train what is not trained yet, evaluate it, and report.

    Args:
        config: a `CompareCVAEsConfig`.

    Returns:
        The report, as text.

    Raises:
        InputError: as `cvae_tf.train`; and if earlier results are not comparable.
    """
    check_alone("a comparison")
    if config.train:
        _train(config)
    return report(config.out, config.saved_models_dir)


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
        for title, options in forms(config, dataset).items()
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
    """Refuse other images than those of earlier results.

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


def report(folder, saved_models_dir):
    """Write tables and figures from existing results.

    Args:
        folder: has the JSON files of `compare`; gets cvaes.md, cvae_curves.png, and for
            each VAE a folder with pictures of bundled test images under wrong labels.
        saved_models_dir: has the SavedModels; pictures of missing ones stay as they
            are.

    Returns:
        The text of cvaes.md.

    Raises:
        InputError: if there are no such files.
    """
    trained = read_trained(folder)
    if not trained:
        raise InputError(
            f"Expected results of compare_cvaes.py in {folder}. Found none."
        )
    text = as_markdown(trained)
    write_text(folder / "cvaes.md", text)
    file = folder / "reference_curves.json"
    reference = read_json(file)["negative_elbo"] if file.exists() else {}
    draw_curves(folder / "cvae_curves.png", trained, reference)
    for results in trained:
        model = saved_model_of(results, saved_models_dir)
        if model.is_dir():
            images = load_images(results["config"]["dataset"], BUNDLED)
            pictures, names = folder / results["run_name"], images.class_names
            draw_wrong_labels(pictures, Relabeller(model), images.test, names)
    return text


def read_trained(folder):
    """The results of `compare` in a folder, in the order of the tables.

    Returns:
        A list of dicts, by data set; the Gaussian likelihood first, in it the lowest
        negative ELBO.
    """
    found = [read_json(file) for file in folder.glob("cvae_*.json")]
    return sorted(
        (results for results in found if "scores" in results),
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
    size = {"figsize": (4.6 * len(datasets), 4.4), "layout": "constrained"}
    figure, axes = plt.subplots(1, len(datasets), squeeze=False, **size)
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
            # Below the panel, where it hides no curve.
            axis.legend(
                fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15)
            )
    axes[0, 0].set_ylabel("-ELBO of validation images, nats")
    save_figure(figure, path)


def as_markdown(trained):
    """The report on what `read_trained` returns."""
    lines = [
        "# Conditional VAEs compared",
        "",
        INTRODUCTION,
        "",
        "    python experiments/compare_cvaes.py",
    ]
    for dataset in labelled_datasets():
        rows = [x for x in trained if x["config"]["dataset"] == dataset]
        if not rows:
            continue
        counts = sorted({f"{x['images']['test']:,}" for x in rows})
        accuracy = sorted({f"{x['scores']['classifier_accuracy']:.1%}" for x in rows})
        lines += [
            "",
            f"## {dataset}",
            "",
            f"{' or '.join(counts)} test images. Accuracy of the evaluation classifier "
            f"on real images: {' or '.join(accuracy)}.",
            "",
            COLUMNS,
            "|---" * (COLUMNS.count("|") - 1) + "|",
            *map(_row, rows),
        ]
        if reference := DATASETS[dataset].cvae.reference:
            lines.append(
                "| the reference notebook, training batches | 20.1M | 256 | "
                f"{reference.epochs} | | {reference.negative_elbo} | | | | | | | | |"
            )
        for results in filter(_is_gaussian, rows):
            title = results["title"]
            lines += [
                "",
                f"Test images, each under a wrong label; {title}:",
                "",
                f"![Images, and the same under a wrong label: {title}]"
                f"({results['run_name']}/wrong_labels.png)",
            ]
    lines += [
        "",
        "-ELBO over the epochs, Gaussian likelihood:",
        "",
        "![-ELBO of each network and of the reference notebook](cvae_curves.png)",
    ]
    return "\n".join(lines) + "\n"


def latents_of(results):
    """Numbers of style latents and of detail latents, if any: "12 + 980"."""
    style = len(results["rate_per_latent"][0])
    details = results["latents"] - style
    return f"{style} + {details}" if details else f"{style}"


def _is_gaussian(results):
    return results["config"]["likelihood"] == "gaussian"


def _row(results):
    test, scores = results["test"], results["scores"]
    style, correlation = min(scores["style"].items(), key=lambda item: item[1])
    cells = (
        results["title"],
        f"{results['parameters'] / 1e6:.2f}M",
        latents_of(results),
        results["epochs"],
        f"{results['minutes']:.0f}",
        *(f"{test[x]:.1f}" for x in ("negative_elbo", "distortion", "rate")),
        f"{test['bits_per_dim']:.3f}",
        f"{scores['label_accuracy']:.2%}",
        f"{scores['source_accuracy']:.2%}",
        f"{style} {correlation:.2f}",
        f"{scores['sharpness']:.2f}",
        f"{scores['leakage']:.1%}",
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(
        command_line.run(CompareCVAEsConfig, lambda config: print(compare(config)))
    )
