"""What a search tells of its trials: a line for each, a table, a picture, the best."""

import math

from train_tf.config import WHERE_AND_HOW
from train_tf.errors import InputError
from train_tf.files import as_csv, write_json, write_text
from train_tf.run.report import draw_trials

SHOWN = 10  # trials in the table on the screen

# The best options go with the data that they were found on.
OF_ONE_RUN = WHERE_AND_HOW - {"data_dir"} | {"epochs", "name"}


class TrialReport:
    """Keeps trials.csv, trials.png and best.json of a search.

    Args:
        folder: the search's.
        given: options of all trials, a dict for JSON.
        monitor, mode: as `train_tf.run.loop.Run`.
        start: what the search was given of the options that it searches; None if it
            does not start from there.
    """

    def __init__(self, folder, given, monitor, mode, start=None):
        self.folder, self.figure = folder, monitor.removeprefix("val_")
        self.given = {name: x for name, x in given.items() if name not in OF_ONE_RUN}
        self.sign, self.start = (1 if mode == "max" else -1), start
        self.rows, self.skipped, self.ended = [], [], 0
        table = folder / "trials.csv"
        # A search that goes on tells of its trials again, from the first.
        self.earlier = len(table.read_text().splitlines()) - 1 if table.exists() else 0

    def add(self, run, options, score, message):
        """Tell of a trial that has ended.

        Args:
            run: its name.
            options: what it had of its own, a dict; the same names for all trials.
            score: the best of the monitored figures; None without one.
            message: what went wrong; None if nothing.
        """
        self.ended += 1
        number = self.ended
        told = ", ".join(f"{name} {_short(x)}" for name, x in options.items())
        if score is None or math.isnan(score):
            last = (message or "no figure").strip().splitlines()[-1]
            self.skipped.append(last.split(": ", 1)[-1])  # without the exception's name
            print(f"Trial {number}, skipped: {told}: {self.skipped[-1]}", flush=True)
            return
        print(f"Trial {number}: {self.figure} {_short(score)}, {told}", flush=True)
        self.options = list(options)
        if any(options.items() <= row.items() for row in self.rows):
            return  # proposed again
        self.rows.append({"trial": number, self.figure: score, **options, "run": run})
        self.rows.sort(key=lambda row: -self.sign * row[self.figure])
        if len(self.rows) >= self.earlier:
            self._write()

    def finish(self):
        """Tell of all trials; gives the file with the options of the best.

        Raises:
            InputError: if none came to its end.
        """
        if not self.rows:
            raise InputError(f"No trial came to an end. One of them: {self.skipped[0]}")
        self._write()
        picture = self.folder / "trials.png"
        given = self.as_given
        shown = [name for name in self.options if name != "epochs"]
        draw_trials(picture, self.rows, shown, self.figure, given)
        told = (
            f"As given:    {self.figure} {_short(given[self.figure])}, epochs "
            f"{given['epochs']}, trial {given['trial']}\n"
            if given
            else ""
        )
        print(
            f"\n{len(self.rows)} trials, {len(self.skipped)} skipped; the best:\n\n"
            f"{_as_table(self.rows[:SHOWN])}\n\n"
            f"{told}"
            f"All trials:  {self.folder / 'trials.csv'}, {picture}\n"
            f"Watch them:  tensorboard --logdir {self.folder}"
        )
        return self.folder / "best.json"

    @property
    def as_given(self):
        """The best row of the options that the search was given; None without one."""
        start = self.start
        rows = (row for row in self.rows if start and start.items() <= row.items())
        return next(rows, None)

    def _write(self):
        write_text(self.folder / "trials.csv", as_csv(self.rows))
        found = {x: self.rows[0][x] for x in self.options if x not in OF_ONE_RUN}
        write_json(self.folder / "best.json", {**self.given, **found})


def _as_table(rows):
    lines = [[*rows[0]], ["---"] * len(rows[0])]
    lines += [[_short(x) for x in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
