"""What every run leaves for people: curves, and where its numbers come from."""

import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from train_tf.command_line import to_dict
from train_tf.devices import instructions
from train_tf.files import atomic_write

MANY = 6  # values of an option, more of which are drawn as a range
# Instruction sets that the speed of a network depends on.
FOR_NETWORKS = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"}
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
    save_figure(picture, path)


def save_figure(figure, path):
    """Write a matplotlib figure as a picture, whole or not at all, and close it."""
    with atomic_write(path) as beside:
        figure.savefig(beside, dpi=110)
    plt.close(figure)


def draw_trials(path, rows, options, figure, given=None):
    """Draw the figure that trials reached over each of their options.

    Args:
        path: the picture to write.
        rows: a list of dicts, one a trial, with its "epochs", the best first.
        options: names in them, a panel each.
        figure: name of the figure in them.
        given: the row to mark as the options that the search was given; None for none.
    """
    columns = min(5, len(options))
    lines = -(-len(options) // columns)
    picture, axes = plt.subplots(
        lines,
        columns,
        figsize=(2.4 * columns, 3.2 * lines),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    most = max(row["epochs"] for row in rows)
    whole = [row for row in rows if row["epochs"] == most]
    short = [row for row in rows if row["epochs"] < most]
    marks = [
        (
            short,
            "o",
            {"color": "tab:blue", "fillstyle": "none", "alpha": 0.5},
            "fewer epochs",
        ),
        (whole, "o", {"color": "tab:blue", "alpha": 0.6}, f"{most} epochs"),
        (rows[:1], "o", {"color": "tab:orange"}, "best"),
        ([given] if given else [], "kx", {}, "as given"),
    ]
    for axis in axes.flat[len(options) :]:
        axis.remove()
    for axis, name in zip(axes.flat, options, strict=False):
        known = sorted({row[name] for row in rows})
        if len(known) > MANY:
            set_log_scale(axis, (1, 3))
            place = dict(zip(known, known, strict=True))
            ranks = np.argsort(np.argsort([row[name] for row in whole]))
            groups = ranks * 3 // len(ranks)
        else:
            place = {value: number for number, value in enumerate(known)}
            groups = np.array([place[row[name]] for row in whole])
            axis.set_xticks(range(len(known)), [str(value) for value in known])
            axis.tick_params("x", rotation=30)
            axis.margins(x=0.2)
        for some, mark, style, label in marks:
            if some:
                places = [place[row[name]] for row in some]
                reached = [row[figure] for row in some]
                axis.plot(places, reached, mark, **style, label=label)
        share = share_explained(groups, np.array([row[figure] for row in whole]))
        axis.set(title=name if np.isnan(share) else f"{name}\n{share:.0%}")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize="small")
    picture.supylabel(f"validation {figure}", fontsize="small")
    picture.supxlabel(
        f"%: how much of the differences of trials of {most} epochs goes with the "
        "option (shares overlap)",
        fontsize="small",
    )
    save_figure(picture, path)


def set_log_scale(axis, steps):
    """Give a chart a logarithmic x axis with plain numbers.

    Args:
        axis: matplotlib's `Axes`.
        steps: what to name of each power of ten: (1, 3) for 0.1, 0.3, 1, 3 ...
    """
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def share_explained(groups, figures):
    """The share of the variance of figures that groups explain, beyond chance.

    Epsilon squared (Kelley 1935): chance alone gives 0 in the mean.

    Args:
        groups: whole numbers, (count,).
        figures: (count,).

    Returns:
        From 0 to 1; 0 where the figures do not differ; NaN where no group has two.
    """
    means = {group: figures[groups == group].mean() for group in set(groups)}
    freedom = len(figures) - len(means)
    if not freedom:
        return float("nan")
    if not np.var(figures):
        return 0.0
    rest = figures - np.array([means[group] for group in groups])
    return max(0.0, 1 - (rest**2).sum() / freedom / np.var(figures, ddof=1))


def provenance(config, *peers):
    """The options, command, commit, versions, processor and minutes of a result.

    Args:
        config: a dataclass of options.
        peers: further packages whose versions count.
    """
    packages = ("tensorflow", "keras", "numpy", *peers)
    script = Path(sys.argv[0]).resolve()
    if script.is_relative_to(PROJECT):
        script = script.relative_to(PROJECT)
    return {
        "config": to_dict(config),
        "command": shlex.join(["python", str(script), *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "commit": _commit(),
        "processor": _processor(),
        "instructions": sorted(instructions() & FOR_NETWORKS),
        "minutes": round((time.time() - psutil.Process().create_time()) / 60, 2),
    }


def _commit():
    """The code's commit, "-dirty" if code was changed since; None without git."""
    git = ["git", "-C", PROJECT]
    code = ["--", ".", ":(exclude)results"]  # a result that is written changes no code
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
