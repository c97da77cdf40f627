"""The checkpoints of a run, each written whole and verified by a checksum.

A checkpoint is a folder epoch-NNNN with model.weights.h5, which includes the
optimizer's state, and state.json: the run's history, the seconds of its epochs, and a
checksum of these and of the weights.
"""

import errno
import hashlib
import json
import math
import re
import shutil

import tensorflow as tf

from train_tf.errors import InputError
from train_tf.files import (
    DISK_FULL,
    atomic_write,
    read_json,
    remove_atomically,
    remove_leftovers,
    write_json,
)

WEIGHTS, STATE = "model.weights.h5", "state.json"
HDF5_OVERHEAD = 2048  # bytes per variable, at most: 1,500 in the compact VAE


class Checkpoints:
    """The folder of a run's checkpoints.

    Opening it moves damaged checkpoints aside, and prints which.

    Args:
        folder: its path; it need not exist.

    Attributes:
        epochs: the epochs that have a checkpoint, from 1, in order.

    Raises:
        InputError: if there are checkpoints and all are damaged.
    """

    def __init__(self, folder):
        self.folder = folder
        remove_leftovers(folder)
        found = (re.fullmatch(r"epoch-(\d+)", x.name) for x in folder.glob("epoch-*"))
        self.epochs = sorted(int(match[1]) for match in found if match)
        damaged = [epoch for epoch in self.epochs if not self._is_intact(epoch)]
        if damaged and damaged == self.epochs:
            raise InputError(
                f"Expected an intact checkpoint in {folder}. The checksums of all "
                "differ from those written with them. Start again with another --name."
            )
        for epoch in damaged:
            self._set_aside(epoch)

    def history(self):
        """The history up to the last checkpoint, a list of one dict per epoch."""
        return self._state(self.epochs[-1])["history"] if self.epochs else []

    def seconds(self):
        """The seconds of each epoch up to the last checkpoint, as passed to `save`."""
        return self._state(self.epochs[-1])["seconds"] if self.epochs else []

    def save(self, model, history, seconds, keep):
        """Write the checkpoint of the epoch that has just ended.

        Args:
            model: the compiled `keras.Model`.
            history: a list of one dict per epoch, this one included.
            seconds: the seconds of each epoch, for JSON.
            keep: the epochs whose checkpoints to keep; the others are removed once this
                one is written.

        Raises:
            OSError: if the disk is full.
        """
        epoch = len(history)
        with atomic_write(self._folder(epoch)) as partial:
            partial.mkdir()
            _require_space(partial, model)
            model.save_weights(partial / WEIGHTS)
            state = {"history": history, "seconds": seconds}
            checksum = _checksum((partial / WEIGHTS).read_bytes(), state)
            write_json(partial / STATE, {"sha256": checksum, **state})
        for earlier in self.epochs:
            if earlier not in keep:
                remove_atomically(self._folder(earlier))
        self.epochs = list(keep)

    def weights(self, epoch):
        """The weights file of an epoch, as bytes.

        Raises:
            InputError: if the checkpoint is damaged.
        """
        content = (self._folder(epoch) / WEIGHTS).read_bytes()
        state = self._state(epoch)
        if _checksum(content, state) != state["sha256"]:
            raise InputError(
                f"{self._folder(epoch)} is damaged: its checksum differs from the one "
                "written with it."
            )
        return content

    def _folder(self, epoch):
        return self.folder / f"epoch-{epoch:04d}"

    def _state(self, epoch):
        return read_json(self._folder(epoch) / STATE)

    def _is_intact(self, epoch):
        try:
            self.weights(epoch)
            return len(self._state(epoch)["history"]) == epoch
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _set_aside(self, epoch):
        folder = self._folder(epoch)
        aside = folder.with_name(f"damaged-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        self.epochs.remove(epoch)
        print(f"The checkpoint of epoch {epoch} is damaged and was moved to {aside}.")


def _require_space(folder, model):
    """Raise `OSError` if the disk has no room for the weights of a model.

    HDF5 cannot close a file that it could not write: it would end the process with a
    segmentation fault.
    """
    variables = [*model.variables, *model.optimizer.variables]
    sizes = (math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
    needed = sum(sizes) + HDF5_OVERHEAD * len(variables)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, DISK_FULL, str(folder / WEIGHTS))


def _checksum(weights, state):
    text = json.dumps([state["history"], state["seconds"]])
    return hashlib.sha256(weights + text.encode()).hexdigest()
