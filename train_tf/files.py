"""Files that last: written beside their place, then renamed into it."""

import contextlib
import json
import os
import shutil
from pathlib import Path

from train_tf.errors import InputError


@contextlib.contextmanager
def written_beside(path):
    """Give a temporary path next to `path`, and rename what was written there to it.

    Whatever stops the writing, a kill included, `path` is afterwards as it was before
    or whole and new. A file may replace a file; a folder needs a place that is free.

    Args:
        path: where the file or folder shall be.

    Yields:
        The path to write to. For a folder, create it there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays the same: Keras and matplotlib choose the format by it.
    beside = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        yield beside
        _flush_to_disk(beside)
        os.replace(beside, path)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


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


def write_json(path, content):
    """Write a dict as readable JSON."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write a text file, UTF-8."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def remove_leftovers(folder):
    """Delete what a killed process left half-written in `folder`."""
    for leftover in Path(folder).glob(".writing-*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _flush_to_disk(path):
    files = (entry for entry in path.rglob("*") if entry.is_file())
    for file in files if path.is_dir() else (path,):
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())
