"""What every run leaves for people: curves, and where its numbers come from."""

import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from train_tf.files import written_beside

PROJECT = Path(__file__).resolve().parents[1]


def draw_curves(path, history, figures, best_epoch):
    """Draw figures of training and validation over the epochs.

    Args:
        path: the picture to write.
        history: a list of dicts, one an epoch.
        figures: name in the history to title, one panel each.
        best_epoch: the epoch to mark.
    """
    epochs = [row["epoch"] for row in history]
    picture, axes = plt.subplots(
        1,
        len(figures),
        figsize=(4.2 * len(figures), 3.4),
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, title) in zip(axes[0], figures.items(), strict=True):
        marker = "." if len(epochs) < 3 else None
        axis.plot(epochs, [row[name] for row in history], "--", marker=marker)
        axis.plot(epochs, [row[f"val_{name}"] for row in history], marker=marker)
        axis.axvline(best_epoch, color="grey", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(["training", "validation", f"best epoch ({best_epoch})"])
    with written_beside(path) as beside:
        picture.savefig(beside, dpi=110)
    plt.close(picture)


def provenance():
    """The command, the versions and the processor that a result comes from."""
    packages = ("tensorflow", "keras", "numpy")
    script = Path(sys.argv[0]).resolve()
    if script.is_relative_to(PROJECT):
        script = script.relative_to(PROJECT)
    return {
        "command": shlex.join(["python", str(script), *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "processor": _processor(),
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return f"{models[0]}, {len(models)} threads" if models else platform.processor()
