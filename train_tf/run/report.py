"""What every run reports: curves over the epochs, and the provenance of its numbers."""

import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from train_tf.command_line import to_dict
from train_tf.devices import instructions
from train_tf.files import atomic_write

# Instruction sets that the speed of a network depends on.
RELEVANT_INSTRUCTIONS = {
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
}
PROJECT = Path(__file__).resolve().parents[2]


def draw_curves(path, history, titles, best_epoch):
    """Draw metrics of training and validation over the epochs.

    Args:
        path: the PNG to write.
        history: a list of one dict per epoch.
        titles: dict, name in the history -> title; one panel each.
        best_epoch: the epoch to mark.
    """
    epochs = [row["epoch"] for row in history]
    size = (4.2 * len(titles), 3.4)
    figure, axes = plt.subplots(
        1, len(titles), figsize=size, squeeze=False, layout="constrained"
    )
    for axis, (name, title) in zip(axes[0], titles.items(), strict=True):
        marker = "." if len(epochs) < 3 else None
        axis.plot(epochs, [row[name] for row in history], "--", marker=marker)
        axis.plot(epochs, [row[f"val_{name}"] for row in history], marker=marker)
        axis.axvline(best_epoch, color="grey", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(["training", "validation", f"best epoch ({best_epoch})"])
    save_figure(figure, path)


def save_figure(figure, path):
    """Write a matplotlib figure as a PNG and close it."""
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)
    plt.close(figure)


def set_log_scale(axis, steps):
    """Give a chart a logarithmic x axis with plain numbers.

    Args:
        axis: matplotlib's `Axes`.
        steps: ticks per power of ten: (1, 3) for 0.1, 0.3, 1, 3 ...
    """
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def provenance(config, *packages):
    """The options, command, commit, versions, processor and minutes of a result.

    Args:
        config: a dataclass of options.
        packages: further packages whose versions matter.
    """
    packages = ("tensorflow", "keras", "numpy", *packages)
    script = Path(sys.argv[0]).resolve()
    script = script.relative_to(PROJECT) if PROJECT in script.parents else script
    return {
        "config": to_dict(config),
        "command": shlex.join(["python", str(script), *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "commit": _commit(),
        "processor": _processor(),
        "instructions": sorted(instructions() & RELEVANT_INSTRUCTIONS),
        "minutes": round((time.time() - psutil.Process().create_time()) / 60, 2),
    }


def _commit():
    """The commit of the code, "-dirty" if code has changed since; None without git."""
    git = ["git", "-C", PROJECT]
    code = ["--", ".", ":(exclude)results"]  # a written result changes no code
    try:
        commit = [*git, "rev-parse", "--short=12", "HEAD"]
        commit = subprocess.run(commit, capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", *code]).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changed else "")


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return f"{models[0]}, {len(models)} threads" if models else platform.processor()
