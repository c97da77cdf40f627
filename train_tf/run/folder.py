"""The folder of a run or a search: used by one process at a time, with its options."""

import filelock

from train_tf.config import flag
from train_tf.errors import InputError
from train_tf.files import read_json, remove_leftovers, write_json

CONFIG = "config.json"


def acquire(folder, options, resume, free_to_change, what="run", resolve=dict):
    """Lock a folder for this process: a new one, or one to continue.

    Args:
        folder: its path; config.json in it holds the options.
        options: a dict for JSON.
        resume: whether the folder may exist already.
        free_to_change: names of the options that may differ from before.
        what: what the folder holds, for the messages.
        resolve: function from options to the options to compare, with the defaults of
            those that are None.

    Returns:
        The lock. A process that ends, in whatever way, releases it.

    Raises:
        InputError: if the folder exists and `resume` is False, has other options, or
            is locked by another process.
    """
    _check_free(folder, resume, what)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"The {what} in {folder} is in use by another process. Wait for it to end, "
            "or choose another --name."
        ) from error
    try:
        _check_same(folder, options, free_to_change, what, resolve)
        remove_leftovers(folder)
        write_json(folder / CONFIG, options)
    except BaseException:
        lock.release()
        raise
    return lock


def check_available(folder, options, resume, free_to_change, what="run", resolve=dict):
    """Raise early what `acquire` would raise, before the data is read.

    Args:
        folder, options, resume, free_to_change, what, resolve: as for `acquire`.

    Raises:
        InputError: as `acquire`.
    """
    _check_free(folder, resume, what)
    _check_same(folder, options, free_to_change, what, resolve)


def write_or_verify(file, content, what="run"):
    """Write a JSON file that must stay the same when the folder is resumed.

    Args:
        file: its path.
        content: a dict.
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


def _check_free(folder, resume, what):
    if folder.exists() and not resume:
        raise InputError(
            f"There is a {what} in {folder} already. Continue it with --resume, or "
            "choose another --name."
        )


def _check_same(folder, options, free_to_change, what, resolve):
    if not (folder / CONFIG).exists():
        return
    saved, options = resolve(read_json(folder / CONFIG)), resolve(options)
    differing = [
        f"  {flag(name)}: {saved.get(name)} before, {value} now"
        for name, value in options.items()
        if name not in free_to_change and saved.get(name) != value
    ]
    if differing:
        lines = "\n".join(differing)
        raise InputError(
            f"The {what} in {folder} was started with other options:\n{lines}\n"
            f"Resume it with the same options, or choose another --name."
        )
