"""The folder of a run or a search: used by one process at a time, with its options."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import filelock

from train_tf.config import flag
from train_tf.errors import InputError
from train_tf.files import read_json, remove_leftovers, write_json

CONFIG = "config.json"


class Folder(NamedTuple):
    """A folder for one process at a time: a new one, or one to continue.

    path: its path; config.json in it holds the options.
    options: a dict for JSON.
    resume: whether the folder may exist already.
    free_to_change: names of the options that may differ from before.
    resolve: function from options to the options to compare, with the defaults of those
        that are None.
    what: what the folder holds, for the messages.
    """

    path: Path
    options: dict
    resume: bool
    free_to_change: set
    resolve: Callable
    what: str = "run"

    def check(self):
        """Raise `InputError` if the folder has other options or is not to be resumed.

        `acquire` does so too; this is for before the data is read.
        """
        self._check_new()
        self._check_options()

    def acquire(self):
        """Lock the folder for this process, and write its config.json.

        Returns:
            The lock. A process that ends, in whatever way, releases it.

        Raises:
            InputError: as `check`, or if the folder is locked by another process.
        """
        self._check_new()
        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise InputError(
                f"The {self.what} in {self.path} is in use by another process. Wait "
                "for it to end, or choose another --name."
            ) from error
        try:
            self._check_options()
            remove_leftovers(self.path)
            write_json(self.path / CONFIG, self.options)
        except BaseException:
            lock.release()
            raise
        return lock

    def _check_new(self):
        if self.path.exists() and not self.resume:
            raise InputError(
                f"There is a {self.what} in {self.path} already. Continue it with "
                "--resume, or choose another --name."
            )

    def _check_options(self):
        if not (self.path / CONFIG).exists():
            return
        saved = self.resolve(read_json(self.path / CONFIG))
        differing = "".join(
            f"  {flag(name)}: {saved.get(name)} before, {value} now\n"
            for name, value in self.resolve(self.options).items()
            if name not in self.free_to_change and saved.get(name) != value
        )
        if differing:
            raise InputError(
                f"The {self.what} in {self.path} was started with other options:\n"
                f"{differing}Resume it with the same options, or choose another --name."
            )


def write_or_verify(file, content, what="run"):
    """Write a JSON file that must stay the same when the folder is resumed.

    Args:
        file, content: its path, and a dict.
        what: what the folder holds, for the message.

    Raises:
        InputError: if the file exists with another content.
    """
    saved = read_json(file) if file.exists() else content
    if saved != content:
        names = [x for x in content if saved.get(x) != content[x]]
        raise InputError(
            f"The {what} was started with other data: its {', '.join(names)} differ "
            f"from those in {file}. Restore the data, or choose another --name."
        )
    write_json(file, content)
