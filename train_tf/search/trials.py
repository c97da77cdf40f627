"""The report of a search: a line per trial, trials.csv and best.json."""

from train_tf.config import OPTIONS_NOT_COMPARED
from train_tf.errors import InputError
from train_tf.files import as_csv, write_json, write_text

ROWS_SHOWN = 10  # on the screen

# best.json leaves these out. The data set stays: the options were found on it.
NOT_IN_BEST = OPTIONS_NOT_COMPARED - {"data_dir"} | {"epochs", "name"}


class TrialReport:
    """Prints each trial, and keeps trials.csv and best.json up to date.

    Args:
        folder: the search's folder.
        options: options of all trials, a dict for JSON.
        monitor, mode: as for `train_tf.run.resumable_run.Run`.
        first: the searched options on the command line, which the first trial has;
            None if they are not in the search space.
    """

    def __init__(self, folder, options, monitor, mode, first=None):
        self.folder, self.metric = folder, monitor.removeprefix("val_")
        self.options = {x: options[x] for x in options if x not in NOT_IN_BEST}
        self.sign, self.first = (1 if mode == "max" else -1), first
        self.rows, self.errors, self.count = [], [], 0
        table = folder / "trials.csv"
        # A resumed search adds its earlier trials again.
        self.earlier = len(table.read_text().splitlines()) - 1 if table.exists() else 0

    def add(self, run, options, score, error):
        """Add a trial that has ended.

        Args:
            run: name of its run.
            options: dict, name -> value; the same names for all trials.
            score: best value of the monitored metric; None without one.
            error: why the trial failed; None if it did not.
        """
        self.count += 1
        text = ", ".join(f"{name} {_short(value)}" for name, value in options.items())
        if score is None:
            self.errors.append(error or "failed")
            print(f"Trial {self.count}, skipped: {text}: {self.errors[-1]}", flush=True)
            return
        print(f"Trial {self.count}: {self.metric} {_short(score)}, {text}", flush=True)
        self.searched = list(options)
        if any(options.items() <= row.items() for row in self.rows):
            return  # proposed twice
        row = {"trial": self.count, self.metric: score, **options, "run": run}
        self.rows.append(row)
        self.rows.sort(key=lambda row: -self.sign * row[self.metric])
        if len(self.rows) >= self.earlier:
            self._write()

    def finish(self):
        """Print the best trials.

        Returns:
            The path of best.json.

        Raises:
            InputError: if no trial was completed.
        """
        if not self.rows:
            raise InputError(f"No trial was completed. The first: {self.errors[0]}")
        self._write()
        print(
            f"\n{len(self.rows)} trials, {len(self.errors)} skipped; the best:\n\n"
            f"{_as_table(self.rows[:ROWS_SHOWN])}\n"
        )
        if row := self.first_row:
            print(
                f"Command-line options: {self.metric} {_short(row[self.metric])} after "
                f"{row['epochs']} epochs (trial {row['trial']})\n"
            )
        print(
            f"All trials:  {self.folder / 'trials.csv'}\n"
            f"Watch them:  tensorboard --logdir {self.folder}"
        )
        return self.folder / "best.json"

    @property
    def first_row(self):
        """The best row with the options on the command line; None without one."""
        first = self.first
        rows = (row for row in self.rows if first and first.items() <= row.items())
        return next(rows, None)

    def _write(self):
        write_text(self.folder / "trials.csv", as_csv(self.rows))
        found = {x: self.rows[0][x] for x in self.searched if x not in NOT_IN_BEST}
        write_json(self.folder / "best.json", {**self.options, **found})


def _as_table(rows):
    lines = [[*rows[0]], ["---"] * len(rows[0])]
    lines += [[_short(x) for x in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
