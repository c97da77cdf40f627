"""The checkpoints of a run: each is whole and unspoilt, or is put aside.

A checkpoint is a folder epoch-NNNN with model.weights.h5, the optimizer's state in it,
and state.json: the run's history up to there, how long its epochs took, and the
checksum of all of it.
"""

import hashlib
import json
import re
import shutil

from train_tf.errors import InputError
from train_tf.files import (
    atomic_write,
    read_json,
    remove,
    remove_leftovers,
    write_json,
)

WEIGHTS, STATE = "model.weights.h5", "state.json"


class Checkpoints:
    """The folder of a run's checkpoints.

    Opening it puts aside those that were damaged since they were written, and says so.

    Args:
        folder: where they are, or will be.

    Attributes:
        epochs: the epochs that there are checkpoints of, counted from 1, in order.

    Raises:
        InputError: if there are checkpoints and all are damaged.
    """

    def __init__(self, folder):
        self.folder = folder
        remove_leftovers(folder)
        found = (re.fullmatch(r"epoch-(\d+)", x.name) for x in folder.glob("epoch-*"))
        self.epochs = sorted(int(match[1]) for match in found if match)
        damaged = [epoch for epoch in self.epochs if not self._is_sound(epoch)]
        if damaged and damaged == self.epochs:
            raise InputError(
                f"No checkpoint in {folder} is whole: the checksums differ from those "
                "that were written with them. Begin anew under another --name."
            )
        for epoch in damaged:
            self._put_aside(epoch)

    def history(self):
        """The history that the last checkpoint goes with, a list of dicts."""
        return self._state(self.epochs[-1])["history"] if self.epochs else []

    def seconds(self):
        """How long each epoch until the last checkpoint took, as `save` was told."""
        return self._state(self.epochs[-1])["seconds"] if self.epochs else []

    def save(self, model, history, seconds, keep):
        """Write the checkpoint of the epoch that has just ended.

        Args:
            model: the compiled `keras.Model`.
            history: a list of dicts, one an epoch, this one included.
            seconds: how long each epoch took, for JSON.
            keep: the epochs whose checkpoints stay; the others are removed when this
                one is safely there.
        """
        epoch = len(history)
        with atomic_write(self._folder(epoch)) as beside:
            beside.mkdir()
            model.save_weights(beside / WEIGHTS)
            state = {"history": history, "seconds": seconds}
            checksum = _checksum((beside / WEIGHTS).read_bytes(), state)
            write_json(beside / STATE, {"sha256": checksum, **state})
        for earlier in self.epochs:
            if earlier not in keep:
                remove(self._folder(earlier))
        self.epochs = list(keep)

    def weights(self, epoch):
        """The weights file of an epoch, as bytes.

        Raises:
            InputError: if the checkpoint is not as it was written.
        """
        content = (self._folder(epoch) / WEIGHTS).read_bytes()
        state = self._state(epoch)
        if _checksum(content, state) != state["sha256"]:
            raise InputError(
                f"{self._folder(epoch)} is damaged: its checksum differs from the one "
                "that was written with it."
            )
        return content

    def _folder(self, epoch):
        return self.folder / f"epoch-{epoch:04d}"

    def _state(self, epoch):
        return read_json(self._folder(epoch) / STATE)

    def _is_sound(self, epoch):
        try:
            self.weights(epoch)
            return len(self._state(epoch)["history"]) == epoch
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _put_aside(self, epoch):
        folder = self._folder(epoch)
        aside = folder.with_name(f"damaged-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        self.epochs.remove(epoch)
        print(
            f"The checkpoint of epoch {epoch} is damaged; it is left aside in {aside}."
        )


def _checksum(weights, state):
    told = json.dumps([state["history"], state["seconds"]])
    return hashlib.sha256(weights + told.encode()).hexdigest()
