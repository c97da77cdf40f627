"""Devices, precision, seeds and memory."""

import contextlib
import math
import os
from pathlib import Path

import keras
import psutil
import tensorflow as tf

from train_tf.errors import InputError

PRECISIONS = ("float32", "bfloat16", "float16")
BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}


def set_up(precision, seed, replica_count=1):
    """Set the precision, seed every random generator, and print both.

    Args:
        precision: "float32", "bfloat16", "float16" or "auto", see `resolve_precision`.
        seed: an integer.
        replica_count: how many replicas train together, for the message.
    """
    keras.utils.set_random_seed(seed)
    precision = resolve_precision(precision)
    policy = precision if precision == "float32" else f"mixed_{precision}"
    keras.config.set_dtype_policy(policy)
    gpus = tf.config.list_physical_devices("GPU")
    device = f"{len(gpus)} GPU" if gpus else f"{threads()} CPU threads"
    shared = f", {replica_count} replicas" if replica_count > 1 else ""
    print(f"Device: {device}{shared}, {policy}, seed {seed}")


def resolve_precision(precision):
    """Replace "auto" by bfloat16 if the hardware supports it, else by float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16() else "float32"


def threads():
    """The number of CPU threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # missing on macOS
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count()


@contextlib.contextmanager
def float32():
    """Build layers in float32 inside this context, whatever the run's precision."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def require_memory(size, what, remedy):
    """Raise `InputError` if something cannot fit into free memory.

    Args:
        size: the fewest bytes needed.
        what: what needs them, for the message.
        remedy: what the user can do about it, for the message.
    """
    free = psutil.virtual_memory().available
    if size > free:
        raise InputError(
            f"{what} needs about {size / 2**30:.1f} GiB of memory and "
            f"{free / 2**30:.1f} GiB are free. {remedy}"
        )


def require_training_memory(models, batch_size):
    """Raise `InputError` if a training cannot fit into memory, before it starts.

    Counts one copy of each layer's output per batch: the least that the backward pass
    needs. Not checked on GPUs.

    Args:
        models: functional `keras.Model`s of known image size; the first takes images.
        batch_size: images per training step.
    """
    layers = [layer for model in models for layer in model.layers]
    outputs = (x for layer in layers for x in keras.tree.flatten(layer.output))
    size = sum(tf.as_dtype(x.dtype).size * math.prod(x.shape[1:]) for x in outputs)
    batch = (batch_size, *models[0].inputs[0].shape[1:])
    if not tf.config.list_physical_devices("GPU"):
        require_memory(
            batch_size * size,
            f"A training step with a batch of {batch}",
            "Use smaller images, a smaller batch or a smaller network.",
        )


def has_bfloat16():
    """Whether the GPUs, or without GPUs the processor, have bfloat16 instructions."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        return all(x.get("compute_capability", (0,)) >= (8, 0) for x in details)
    return bool(BFLOAT16_INSTRUCTIONS & instructions())


def instructions():
    """The processor's instruction sets by Linux's names; empty where unknown."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0]
    except (OSError, IndexError):  # not Linux, or not x86
        return set()
    return set(flags.split())
