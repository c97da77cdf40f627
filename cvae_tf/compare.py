"""Conditional VAEs compared: how well they explain images, and whether labels count."""

import shutil

from cvae_tf.config import CVAEConfig
from cvae_tf.training import train
from cvae_tf.wrong_label import judge_test_images
from train_tf.files import read_json, write_json, write_text
from train_tf.run import read_history

# What the seed's notebook shows at its end: nats of training batches, and epochs.
SEED = {"mnist": (-961.7, 30), "cifar10": (-2668.7, 20)}
PICTURES = ("wrong_labels", "all_labels")


def forms(config):
    """Title to options of each VAE that is compared, on one set."""
    return {
        "compact": {},
        "compact, label for the encoder alone": {
            "decoder_label": False,
            "epochs": config.plain_epochs,
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
        InputError: as `cvae_tf.train`.
    """
    for dataset in config.dataset:
        for title, options in forms(config).items():
            own = CVAEConfig(
                dataset=dataset,
                data_dir=config.data_dir,
                runs_dir=config.runs_dir,
                saved_models_dir=config.saved_models_dir,
                resume=True,
                **options,
            )
            results = train(own)
            folder = own.run_folder / "judged"
            print(
                judge_test_images(
                    results["saved_model"],
                    folder,
                    data_dir=config.data_dir,
                    judges=config.runs_dir / "judges",
                )
            )
            for picture in PICTURES:
                place = config.out / f"{own.name}_{picture}.png"
                shutil.copyfile(folder / f"{picture}.png", place)
            write_json(
                config.out / f"{own.name}.json",
                {
                    "title": title,
                    **results,
                    "history": read_history(own.run_folder),
                    "scores": read_json(folder / "scores.json"),
                },
            )
    return report(config.out)


def report(folder):
    """Write cvaes.md, of the JSON files of `compare`; gives its text."""
    text = as_markdown(read_trained(folder))
    write_text(folder / "cvaes.md", text)
    return text


def read_trained(folder):
    """The JSON files of `compare` in a folder, a list of dicts."""
    files = sorted(folder.glob("cvae_*_gaussian*.json"))
    return [one for one in map(read_json, files) if "scores" in one]


def as_markdown(trained):
    """The report, of what `read_trained` gives."""
    lines = [
        "# Conditional VAEs compared",
        "",
        "Gaussian likelihood of one shared scale; figures of the test images, nats "
        "each. Obedience is how often a judge, a classifier of real images, reads a "
        "picture as the wrong label that was sent; style is the least of the "
        "correlations with the image's own; leakage is how often a classifier reads "
        "the label from the style (chance 10 %).",
        "",
        "    python scripts/compare_cvaes.py",
    ]
    for dataset in SEED:
        rows = [one for one in trained if one["config"]["dataset"] == dataset]
        if not rows:
            continue
        nats, epochs = SEED[dataset]
        accuracy = rows[0]["scores"]["judge_accuracy"]
        lines += [
            "",
            f"## {dataset}",
            "",
            f"The judge reads {accuracy:.1%} of the real test images right.",
            "",
            "| network | weights | epochs | minutes | -ELBO | distortion | rate | "
            "bits/dim | obedience | still true | style | sharpness | leakage |",
            "|---" * 13 + "|",
            *map(_row, rows),
            f"| the seed's notebook, training batches | 20.1M | {epochs} | | {nats} "
            "| | | | | | | | |",
        ]
    return "\n".join(lines) + "\n"


def _row(one):
    test, scores = one["test"], one["scores"]
    style, kept = min(scores["style"].items(), key=lambda item: item[1])
    cells = (
        one["title"],
        f"{one['parameters'] / 1e6:.2f}M",
        one["epochs"],
        f"{one['minutes']:.0f}",
        *(f"{test[x]:.1f}" for x in ("negative_elbo", "distortion", "rate")),
        f"{test['bits_per_dim']:.3f}",
        f"{scores['obedience']:.1%}",
        f"{scores['still_true']:.1%}",
        f"{style} {kept:.2f}",
        f"{scores['sharpness']:.2f}",
        f"{scores['leakage']:.1%}",
    )
    return f"| {' | '.join(map(str, cells))} |"
