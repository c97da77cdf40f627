"""Conditional VAEs compared: how well they explain images, and whether labels count."""

import dataclasses
import sys
from typing import Literal

from comparison import CompareOptions
from matplotlib import pyplot as plt

from cvae_tf.config import SEED, CVAEConfig
from cvae_tf.data import load_images
from cvae_tf.relabel import Relabeller, draw_wrong_labels, evaluate_relabelling
from cvae_tf.training import train
from train_tf import command_line
from train_tf.data.datasets import BUNDLED
from train_tf.distributed.cluster import check_alone
from train_tf.errors import InputError
from train_tf.export import saved_model_of
from train_tf.files import read_json, write_json, write_text
from train_tf.run.report import save_figure, set_log_scale

DISCRETIZED_EPOCHS = {"mnist": 8, "cifar10": 15}


@dataclasses.dataclass(frozen=True)
class CompareCVAEsConfig(CompareOptions):
    """Train conditional VAEs, or go on with them, have them judged and compare them."""

    dataset: tuple[Literal["mnist", "cifar10"], ...] = ("mnist", "cifar10")
    """On which images."""

    plain_epochs: int = 2
    """Epochs of the compact network whose decoder does not see the label."""

    seed_form_epochs: int = 1
    """Epochs of the ResNet18 in the seed's form, which takes long."""

    def __post_init__(self):
        for name in ("plain_epochs", "seed_form_epochs"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"Expected --{name.replace('_', '-')} of at least 1. "
                    f"Received: {getattr(self, name)}"
                )


def forms(config, dataset):
    """Title to options of each VAE that is compared on a set."""
    return {
        "compact": {},
        "compact, decoder without the label": {
            "decoder_label": False,
            "epochs": config.plain_epochs,
        },
        "compact, discretised logistic likelihood": {
            "likelihood": "discretized_logistic",
            "epochs": DISCRETIZED_EPOCHS[dataset],
        },
        "the seed's form: ResNet18, label for the encoder alone": {
            "network": "resnet18",
            "decoder_label": False,
            "epochs": config.seed_form_epochs,
        },
    }


def compare(config):
    """Train what is not trained yet, have it judged, and report.

    Args:
        config: a `cvae_tf.config.CompareCVAEsConfig`.

    Returns:
        The report, as text.

    Raises:
        InputError: as `cvae_tf.train`, and if it does not go with earlier results.
    """
    check_alone("a comparison")
    if config.train:
        _train(config)
    return report(config.out, config.saved_models_dir)


def _train(config):
    _check_goes_with_earlier(config)
    wanted = [  # all are looked over before the first is trained
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
    for title, own in wanted:
        results = train(own)
        folder = own.run_folder / "judged"
        print(
            evaluate_relabelling(
                results["saved_model"],
                folder,
                data_dir=config.data_dir,
                judges=config.runs_dir / "judges",
            )
        )
        scores = read_json(folder / "scores.json")
        told = {"title": title, **results, "scores": scores}
        write_json(config.out / f"{own.name}.json", told)


def _check_goes_with_earlier(config):
    """Refuse other images than those of a set's earlier results.

    Raises:
        InputError: says which.
    """
    for dataset in config.dataset:
        earlier = [
            one["images"]
            for one in read_trained(config.out)
            if one["config"]["dataset"] == dataset
        ]
        counts = load_images(dataset, config.data_dir).counts if earlier else None
        for other in earlier:
            if other != counts:
                raise InputError(
                    f"Expected images of {dataset} as in the results in {config.out}, "
                    f"{other}. Received: {counts}. Give --out a folder of its own."
                )


def report(folder, saved_models_dir):
    """Write tables and pictures of what was compared before.

    Args:
        folder: has the JSON files of `compare`, and gets cvaes.md, cvae_curves.png, and
            for each VAE a folder with pictures of bundled test images under wrong
            labels.
        saved_models_dir: has the VAEs; those that it lacks keep their pictures.

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
    seed = folder / "seed_curves.json"
    curves = read_json(seed)["negative_elbo"] if seed.exists() else {}
    draw_curves(folder / "cvae_curves.png", trained, curves)
    for one in trained:
        name, dataset = one["config"]["name"], one["config"]["dataset"]
        model = saved_model_of(one, saved_models_dir)
        if model.is_dir():
            images = load_images(dataset, BUNDLED)
            draw_wrong_labels(
                folder / name,
                Relabeller(model),
                images.test,
                images.class_names,
            )
    return text


def read_trained(folder):
    """The JSON files of `compare` in a folder, a list of dicts: a set's together, the
    Gaussian likelihood first, and of these those that explain images best."""
    found = [read_json(file) for file in folder.glob("cvae_*.json")]
    return sorted(
        (one for one in found if "scores" in one),
        key=lambda one: (
            list(SEED).index(one["config"]["dataset"]),
            not _is_gaussian(one),
            one["test"]["negative_elbo"],
        ),
    )


def draw_curves(path, trained, seed):
    """-ELBO of the validation images over the epochs: a panel a set.

    Args:
        path: the picture to write.
        trained: as `read_trained` gives it; only the Gaussian likelihood is drawn.
        seed: set to the -ELBO of each epoch of the seed's own training batches.
    """
    figure, axes = plt.subplots(
        1, len(SEED), figsize=(4.6 * len(SEED), 4.4), layout="constrained"
    )
    styles = ("-o", "--s", ":^")
    for axis, dataset in zip(axes, SEED, strict=True):
        rows = [
            one
            for one in trained
            if one["config"]["dataset"] == dataset and _is_gaussian(one)
        ]
        for one, style in zip(rows, styles, strict=False):
            axis.plot(
                [row["epoch"] for row in one["history"]],
                [row["val_negative_elbo"] for row in one["history"]],
                style,
                markersize=4,
                color="black",
                label=one["title"].replace(": ", ":\n").replace(", ", ",\n", 1),
            )
        if dataset in seed:
            axis.plot(
                range(1, len(seed[dataset]) + 1),
                seed[dataset],
                color="darkorange",
                label="the seed's own notebook,\ntraining batches",
            )
        set_log_scale(axis, (1, 2, 5))
        axis.set(title=dataset, xlabel="epoch")
        axis.grid(alpha=0.3)
        if axis.lines:
            # Below, where it hides no curve, however short.
            axis.legend(
                fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15)
            )
    axes[0].set_ylabel("-ELBO of validation images, nats")
    save_figure(figure, path)


def as_markdown(trained):
    """The report, of what `read_trained` gives."""
    lines = [
        "# Conditional VAEs compared",
        "",
        "Figures of the test images, nats each, of which less are better; Gaussian "
        "likelihood of one shared scale where no other is named, whose nats are not to "
        "be compared with those of others. The scale is half a grey level or more; the "
        "compact network on MNIST is at that bound. Latents are those of style and, "
        "after the +, of details: -ELBO is of all of them, but a picture under another "
        "label is drawn from style and label alone. Obedience is how often a judge, a "
        "classifier of real images, reads a picture as the wrong label that was sent; "
        "style is the least of the correlations with the image's own; sharpness is how "
        "much neighbouring pixels differ, as a share of the real images'; leakage is "
        "how often a classifier reads the label from the style (chance 10 %).",
        "",
        "    python scripts/compare_cvaes.py",
    ]
    for dataset in SEED:
        rows = [one for one in trained if one["config"]["dataset"] == dataset]
        if not rows:
            continue
        nats, epochs = SEED[dataset]
        counts = sorted({f"{one['images']['test']:,}" for one in rows})
        read = sorted({f"{one['scores']['judge_accuracy']:.1%}" for one in rows})
        lines += [
            "",
            f"## {dataset}",
            "",
            f"Of {' or '.join(counts)} test images; the judge reads "
            f"{' or '.join(read)} of the real ones right.",
            "",
            "| network | weights | latents | epochs | minutes | -ELBO | distortion | "
            "rate | bits/dim | obedience | still true | style | sharpness | leakage |",
            "|---" * 14 + "|",
            *map(_row, rows),
            "| the seed's notebook, training batches | 20.1M | 256 | "
            f"{epochs} | | {nats} | | | | | | | | |",
        ]
        for one in filter(_is_gaussian, rows):
            title, name = one["title"], one["config"]["name"]
            lines += [
                "",
                f"Test images, each sent with a wrong label; {title}:",
                "",
                f"![Images, and what they became: {title}]({name}/wrong_labels.png)",
            ]
    lines += [
        "",
        "The -ELBO over the epochs, Gaussian likelihood:",
        "",
        "![Curves of -ELBO, of each network and of the seed's](cvae_curves.png)",
    ]
    return "\n".join(lines) + "\n"


def latents_of(one):
    """Numbers of style, and of details where there are any: "12 + 980"."""
    style = len(one["rate_per_latent"][0])
    details = one["latents"] - style
    return f"{style} + {details}" if details else f"{style}"


def _is_gaussian(one):
    return one["config"]["likelihood"] == "gaussian"


def _row(one):
    test, scores = one["test"], one["scores"]
    style, kept = min(scores["style"].items(), key=lambda item: item[1])
    cells = (
        one["title"],
        f"{one['parameters'] / 1e6:.2f}M",
        latents_of(one),
        one["epochs"],
        f"{one['minutes']:.0f}",
        *(f"{test[x]:.1f}" for x in ("negative_elbo", "distortion", "rate")),
        f"{test['bits_per_dim']:.3f}",
        f"{scores['obedience']:.2%}",
        f"{scores['still_true']:.2%}",
        f"{style} {kept:.2f}",
        f"{scores['sharpness']:.2f}",
        f"{scores['leakage']:.1%}",
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(
        command_line.run(CompareCVAEsConfig, lambda config: print(compare(config)))
    )
