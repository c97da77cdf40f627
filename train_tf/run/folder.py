"""The folder of a run or a search: one process's at a time, with its options in it."""

import filelock

from train_tf.errors import InputError
from train_tf.files import read_json, remove_leftovers, write_json

CONFIG = "config.json"


def take(folder, options, resume, free_to_change, what="run"):
    """Take a folder for this process, a new one or one to go on with.

    Args:
        folder: where it is, or shall be; config.json in it holds the options.
        options: a dict for JSON.
        resume: whether it may be there already.
        free_to_change: names of the options that may differ from before.
        what: what is in it, for the messages.

    Returns:
        The lock: to be released, unless the process ends before.

    Raises:
        InputError: if the folder is there and shall not be resumed, has other options,
            or is another process's.
    """
    _check_free(folder, resume, what)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()  # a process that ends in whatever way gives it back
    except filelock.Timeout as error:
        raise InputError(
            f"The {what} in {folder} is going on in another process. Wait for it, or "
            "give the new one a --name of its own."
        ) from error
    try:
        _check_same(folder, options, free_to_change, what)
        remove_leftovers(folder)
        write_json(folder / CONFIG, options)
    except BaseException:
        lock.release()
        raise
    return lock


def check_available(folder, options, resume, free_to_change, what="run"):
    """Refuse early what `take` will refuse, before long work that leads to it.

    Args:
        folder, options, resume, free_to_change, what: as for `take`.

    Raises:
        InputError: as `take`.
    """
    _check_free(folder, resume, what)
    _check_same(folder, options, free_to_change, what)


def keep(file, content, what="run"):
    """Write down in a folder what must be the same whenever it is gone on with.

    Args:
        file: JSON, in the folder.
        content: a dict.
        what: what is in the folder, for the message.

    Raises:
        InputError: if another content was written there before.
    """
    kept = read_json(file) if file.exists() else content
    if kept != content:
        names = [x for x in content if kept.get(x) != content[x]]
        raise InputError(
            f"The {what} was started with other data than now: its {', '.join(names)} "
            f"were those in {file}. Bring them back, or give the new {what} a --name "
            "of its own."
        )
    write_json(file, content)


def _check_free(folder, resume, what):
    if folder.exists() and not resume:
        raise InputError(
            f"There is a {what} in {folder}. Go on with it by --resume, or give the "
            "new one a --name of its own."
        )


def _check_same(folder, options, free_to_change, what):
    if not (folder / CONFIG).exists():
        return
    saved = read_json(folder / CONFIG)
    differing = [
        f"  --{name.replace('_', '-')}: {saved.get(name)} before, {value} now"
        for name, value in options.items()
        if name not in free_to_change and saved.get(name) != value
    ]
    if differing:
        listed = "\n".join(differing)
        raise InputError(
            f"The {what} in {folder} was started with other options:\n{listed}\n"
            f"Resume it with the same ones, or give the new {what} a --name of its own."
        )
