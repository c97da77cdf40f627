"""Compare programs in interleaved turns: A B C A B C ..., each in its own process.

A slow period of the machine affects all of them, because the ratio to the first program
is taken within each round.
"""

import json
import subprocess
import sys
import time

import numpy as np

from train_tf.errors import InputError


class Contender:
    """A program that does its work whenever it is told to.

    Args:
        command: the program and its arguments; it calls `serve`.
    """

    def __init__(self, command):
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.info = self._answer()

    def turn(self, times):
        """Let it work `times` times; returns the mean seconds of one time."""
        print(times, file=self._process.stdin, flush=True)
        return self._answer()["seconds"]

    def end(self):
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise InputError(
            f"{' '.join(self._process.args)} ended early; its output is above."
        )


def serve(work, **info):
    """Work when told to on stdin, until it is closed.

    Args:
        work: function of how many times to do it; returns when all is done.
        info: facts for the other side, for JSON.
    """
    work(2)  # compiles
    print(json.dumps(info), flush=True)
    for line in sys.stdin:
        times = int(line)
        start = time.perf_counter()
        work(times)
        seconds = (time.perf_counter() - start) / times
        print(json.dumps({"seconds": seconds}), flush=True)


def steps_of(model, batches):
    """A function that trains a Keras model for a number of steps.

    Each step does what `fit` does, with callbacks that read the loss. `fit` itself is
    left out: its start would count in every turn.

    Args:
        model: a compiled `keras.Model`.
        batches: an infinite `tf.data.Dataset`.
    """
    model.make_train_function()
    iterator = iter(batches)

    def train(steps):
        for _ in range(steps):
            float(model.train_function(iterator)["loss"])

    return train


def compare(commands, rounds, times):
    """Start programs, run them in interleaved turns, and end them.

    Args:
        commands: name to command, as `Contender` takes it; ratios are to the first.
        rounds: turns of each program.
        times: how often a program works in one turn.

    Returns:
        Name to a dict: what the program passed to `serve`; "seconds" of working once,
        the median of the rounds; and "ratio", "min" and "max", the median and the range
        of the ratios to the first program's seconds in the same round.

    Raises:
        InputError: if a program ends early.
    """
    if rounds < 1 or times < 1:
        raise InputError(f"Expected a turn or more. Received: {rounds} of {times} each")
    # One after another: a program may write what the next one reads.
    contenders = {name: Contender(command) for name, command in commands.items()}
    for contender in contenders.values():
        contender.turn(times)  # warms the caches
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender.turn(times))
    first = np.array(next(iter(seconds.values())))
    rows = {}
    for name, contender in contenders.items():
        contender.end()
        ratios = np.array(seconds[name]) / first
        rows[name] = {
            **contender.info,
            "seconds": float(np.median(seconds[name])),
            "ratio": float(np.median(ratios)),
            "min": float(ratios.min()),
            "max": float(ratios.max()),
        }
    return rows
