"""Contenders that take turns: A B C A B C ..., each in a process of its own.

Whatever slows the machine down for a while slows all of them. What is compared is the
ratio within each round, of which the median and the spread are given.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np

from train_tf.errors import InputError


class Contender:
    """A program that does a piece of work whenever it is told to.

    Args:
        command: the program and its arguments; it calls `serve`.
        environment: variables beside those of this process.
    """

    def __init__(self, command, environment=None):
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.about = self._answer()

    def turn(self, times):
        """Seconds that one of `times` pieces of work took."""
        print(times, file=self._process.stdin, flush=True)
        return self._answer()["seconds"]

    def end(self):
        """Let the program end."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise InputError(
            f"{' '.join(self._process.args)} ended without an answer; what it said is "
            "above."
        )


def serve(work, **about):
    """Do work when told to, until the other side ends.

    Args:
        work: function of how many times to do it, which returns when all is done.
        about: what the other side gets to know at first, for JSON.
    """
    work(2)  # compiles
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        times = int(line)
        start = time.perf_counter()
        work(times)
        print(
            json.dumps({"seconds": (time.perf_counter() - start) / times}), flush=True
        )


def steps_of(model, batches):
    """A function that trains a Keras model for some steps.

    It does what `fit` does in each, callbacks looking at the loss. `fit` itself is left
    out: it is called once for a training, and here it would be for each turn.

    Args:
        model: a compiled `keras.Model`.
        batches: an endless `tf.data.Dataset`.
    """
    model.make_train_function()
    endless = iter(batches)

    def train(steps):
        for _ in range(steps):
            float(model.train_function(endless)["loss"])

    return train


def compare(contenders, rounds, times):
    """Let contenders take turns.

    Args:
        contenders: name to `Contender`; the first is what the others are compared with.
        rounds: how many turns each has.
        times: pieces of work a turn.

    Returns:
        Name to a dict: "seconds", the median; and of the ratios to the first in the
        same round, more being slower, "ratio", "least" and "most".
    """
    if rounds < 1 or times < 1:
        raise InputError(f"Expected a turn or more. Received: {rounds} of {times} each")
    for contender in contenders.values():
        contender.turn(times)  # the first turn finds caches cold
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender.turn(times))
    first = np.array(next(iter(seconds.values())))
    rows = {}
    for name, own in seconds.items():
        ratios = np.array(own) / first
        rows[name] = {
            "seconds": float(np.median(own)),
            "ratio": float(np.median(ratios)),
            "least": float(ratios.min()),
            "most": float(ratios.max()),
        }
    return rows
