"""Atomic file writes: to a temporary path, then renamed."""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
from pathlib import Path

from train_tf.errors import InputError

DISK_FULL = "No space left on device"
PARTIAL = ".partial-"


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path, and rename what was written there to `path`.

    Atomic: after any interruption `path` is either as before or complete. An existing
    file is replaced; a folder must not exist yet.

    Args:
        path: the file or folder to write. Its name's ending is also the temporary
            path's: Keras and matplotlib choose the format by it.

    Raises:
        OSError: if the disk is full, whatever error the writing library makes of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    _remove(partial)
    try:
        yield partial
        _flush_to_disk(partial)
        os.replace(partial, path)
    except Exception as error:
        if DISK_FULL in str(error) and not isinstance(error, OSError):
            raise OSError(errno.ENOSPC, DISK_FULL, str(path)) from error
        raise
    finally:
        _remove(partial)


def read_json(path):
    """The dict in a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: if the file holds something else.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f"Expected JSON in {path}. {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"Expected {path} to hold a JSON object.")
    return content


def as_csv(rows):
    """The text of a CSV file: a header, and a line per dict."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path, content):
    """Write a dict as indented JSON."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write a text file in UTF-8."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_atomically(folder):
    """Delete a folder. It is renamed first, so that half of it never stays."""
    partial = _partial(folder)
    folder.rename(partial)
    shutil.rmtree(partial)


def remove_leftovers(folder):
    """Delete what a killed process left half-written in `folder`."""
    for leftover in Path(folder).glob(f"{PARTIAL}*"):
        _remove(leftover)


def _partial(path):
    return path.with_name(f"{PARTIAL}{path.name}")


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush_to_disk(path):
    files = (entry for entry in path.rglob("*") if entry.is_file())
    for file in files if path.is_dir() else (path,):
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())
