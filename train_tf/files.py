"""Files that last: written beside their place, then renamed into it."""

import contextlib
import csv
import errno
import functools
import io
import json
import os
import shutil
from pathlib import Path

import psutil

from train_tf.errors import InputError

FULL = "No space left on device"


@contextlib.contextmanager
def atomic_write(path):
    """Give a temporary path next to `path`, and rename what was written there to it.

    Whatever stops the writing, a kill included, `path` is afterwards as it was before
    or whole and new. A file may replace a file; a folder needs a place that is free.

    Args:
        path: where the file or folder shall be.

    Yields:
        The path to write to. For a folder, create it there.

    Raises:
        OSError: if the disk is full, whatever the writing library makes of that.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in _left_half_written(path.parent).pop(path.name, ()):
        if not _is_being_written(leftover):
            _remove(leftover)
    beside = _beside(path)
    try:
        yield beside
        _flush_to_disk(beside)
        os.replace(beside, path)
    except Exception as error:
        if FULL in str(error) and not isinstance(error, OSError):
            raise OSError(errno.ENOSPC, FULL, str(path)) from error
        raise
    finally:
        _remove(beside)


def read_json(path):
    """The dict in a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: if there is something else in it.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"Expected {path} to hold a JSON object.")
    return content


def as_csv(rows):
    """The text of a CSV file: a header and a line for each dict."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path, content):
    """Write a dict as readable JSON."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write a text file, UTF-8."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def remove(folder):
    """Delete a folder; after a kill it is whole, or what `remove_leftovers` deletes."""
    beside = _beside(folder)
    folder.rename(beside)
    shutil.rmtree(beside)


def remove_leftovers(folder):
    """Delete what a killed process left half-written in `folder`."""
    for leftover in Path(folder).glob(".writing-*"):
        _remove(leftover)


@functools.cache  # a folder of many files is gone through once
def _left_half_written(folder):
    """Name to what other processes were writing to it when this one first looked."""
    found = {}
    for path in folder.glob(".writing-*-*"):
        found.setdefault(path.name.split("-", 2)[2], []).append(path)
    return found


def _is_being_written(beside):
    """Whether the process that its name names is there, and is another one."""
    process = beside.name.split("-")[1]
    return (
        process.isdecimal()
        and int(process) != os.getpid()
        and psutil.pid_exists(int(process))
    )


def _beside(path):
    # The ending stays the same: Keras and matplotlib choose the format by it.
    return path.with_name(f".writing-{os.getpid()}-{path.name}")


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
