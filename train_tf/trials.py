"""What a search tells of its trials: a line for each, a table, a picture, the best."""

import csv
import io

from train_tf.command_line import to_dict
from train_tf.errors import InputError
from train_tf.files import write_json, write_text
from train_tf.report import draw_trials

SHOWN = 10  # trials in the table on the screen

# Options that say where and how a training goes on, not what it gives.
OF_ONE_RUN = {
    "config",
    "data_dir",
    "epochs",
    "name",
    "resume",
    "runs_dir",
    "saved_models_dir",
    "strategy",
}


class TrialReport:
    """Keeps trials.csv, trials.png and best.json of a search.

    Args:
        folder: the search's.
        options: names of those that the trials differ in.
        monitor, mode: as `train_tf.run.Run`.
    """

    def __init__(self, folder, options, monitor, mode):
        self.folder, self.options = folder, options
        self.figure, self.sign = (
            monitor.removeprefix("val_"),
            1 if mode == "max" else -1,
        )
        self.ended, self.skipped = [], []

    def add(self, config, score, message):
        """Tell of a trial that has ended.

        Args:
            config: that of its training.
            score: the best of the monitored figures; None without one.
            message: what went wrong; None if nothing.
        """
        number = len(self.ended) + len(self.skipped) + 1
        options = {name: getattr(config, name) for name in self.options}
        told = ", ".join(f"{name} {_short(x)}" for name, x in options.items())
        if score is None or score != score:
            reason = (
                (message or "no figure").strip().splitlines()[-1].split(": ", 1)[-1]
            )
            self.skipped.append(reason)
            print(f"Trial {number}, skipped: {told}: {reason}", flush=True)
            return
        row = {"trial": number, self.figure: score, **options, "run": config.name}
        self.ended.append((row, config))
        self.ended.sort(key=lambda one: -self.sign * one[0][self.figure])
        print(f"Trial {number}: {self.figure} {_short(score)}, {told}", flush=True)
        self._write()

    def finish(self):
        """Tell of all trials; gives the file with the options of the best.

        Raises:
            InputError: if none came to its end.
        """
        if not self.ended:
            raise InputError(f"No trial came to an end. One of them: {self.skipped[0]}")
        rows = [row for row, _ in self.ended]
        picture = self.folder / "trials.png"
        draw_trials(picture, rows, self.options, self.figure)
        print(
            f"\n{len(rows)} trials, {len(self.skipped)} skipped; the best:\n\n"
            f"{_as_table(rows[:SHOWN])}\n\n"
            f"All trials:  {self.folder / 'trials.csv'}, {picture}\n"
            f"Watch them:  tensorboard --logdir {self.folder}"
        )
        return self.folder / "best.json"

    def _write(self):
        rows = [row for row, _ in self.ended]
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / "trials.csv", text.getvalue())
        best = to_dict(self.ended[0][1])
        best = {name: x for name, x in best.items() if name not in OF_ONE_RUN}
        write_json(self.folder / "best.json", best)


def _as_table(rows):
    lines = [[*rows[0]], ["---"] * len(rows[0])]
    lines += [[_short(x) for x in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
