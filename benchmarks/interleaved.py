"""Compare programs in interleaved rounds: A B C A B C ..., each in its own process.

A slow period of the machine affects all of them, because the ratio to the first program
is computed within each round.
"""

import contextlib
import os
import timeit
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from train_tf.errors import InputError


def new_process():
    """An executor that calls functions in a new process and discards what they print.

    The functions import TensorFlow or PyTorch themselves.
    """
    return ProcessPoolExecutor(1, get_context("spawn"), _discard_output)


def step_of(model, *batch):
    """A function that trains a Keras model for one step, always on the same batch.

    It does what `fit` does, with callbacks that read the loss. `fit` itself is left
    out: its start would count in every round.

    Args:
        model: a compiled `keras.Model`.
        batch: arrays of images, and of masks or labels.
    """
    import tensorflow as tf

    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(batch).cache().repeat())
    return lambda: float(model.train_function(batches)["loss"])


def compare(programs, rounds, times):
    """Start programs, run them in interleaved turns, and end them.

    Args:
        programs: dict, name -> (function, its arguments); ratios are to the first. The
            function returns another, which does the work once, and a dict of facts.
        rounds: number of rounds; each program runs once in each round.
        times: repetitions per round.

    Returns:
        Name to a dict: the program's facts; "seconds" of one repetition, the median of
        the rounds; and "ratio", "min" and "max", the median and the range of the ratios
        to the first program's seconds in the same round.

    Raises:
        InputError: if there are no rounds or no repetitions.
    """
    if rounds < 1 or times < 1:
        raise InputError(
            "Expected at least one round of one repetition. Received: "
            f"rounds={rounds}, repetitions={times}"
        )
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(new_process()) for _ in programs]
        # One after another: a program may write what the next one reads.
        facts = [
            process.submit(_start, *program).result()
            for process, program in zip(processes, programs.values(), strict=True)
        ]
        measured = [
            [process.submit(_seconds, times).result() for process in processes]
            for _ in range(1 + rounds)  # the first warms the caches
        ]
    seconds = np.array(measured[1:])
    ratios = seconds / seconds[:, :1]
    return {
        name: {
            **facts[column],
            "seconds": float(np.median(seconds[:, column])),
            "ratio": float(np.median(ratios[:, column])),
            "min": float(ratios[:, column].min()),
            "max": float(ratios[:, column].max()),
        }
        for column, name in enumerate(programs)
    }


def _discard_output():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _start(program, *arguments):
    global _work  # of this process
    _work, facts = program(*arguments)
    _seconds(2)  # compiles
    return facts


def _seconds(times):
    """Run `times` repetitions; returns the mean seconds of one."""
    return timeit.timeit(_work, number=times) / times
