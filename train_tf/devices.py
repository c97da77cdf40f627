"""What a run computes with: processors, precision, seeds, memory."""

import contextlib
import math
import os
from pathlib import Path

import keras
import psutil
import tensorflow as tf

from train_tf.distributed import cluster
from train_tf.errors import InputError

PRECISIONS = ("float32", "bfloat16", "float16")
BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}


def set_up(precision, seed, strategy="auto"):
    """Choose the devices and the precision, seed every random generator, and say so.

    Args:
        precision: "float32", "bfloat16", "float16", or "auto": bfloat16 where the
            processor has instructions for it, else float32. Of several workers, the
            chief's counts.
        seed: a whole number.
        strategy: as `train_tf.distributed.cluster.choose` takes it.

    Returns:
        The `tf.distribute` strategy.
    """
    strategy = cluster.choose(strategy)
    keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    precision = cluster.from_chief(
        resolve_precision(precision).encode(), strategy
    ).decode()
    policy = precision if precision == "float32" else f"mixed_{precision}"
    keras.config.set_dtype_policy(policy)
    device = f"{len(gpus)} GPU" if gpus else f"{threads()} CPU threads"
    count = strategy.num_replicas_in_sync
    shared = f", {count} replicas" if count > 1 else ""
    print(f"Device: {device}{shared}, {policy}, seed {seed}")
    return strategy


def resolve_precision(precision):
    """The precision that "auto" stands for on this processor; another as it is."""
    if precision != "auto":
        return precision
    return "bfloat16" if is_good_at_bfloat16() else "float32"


def threads():
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count()


@contextlib.contextmanager
def float32():
    """Within it, layers are built in float32, whatever the run's precision."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def check_fits(size, what, way_out):
    """Refuse what cannot fit into the memory that is free.

    Args:
        size: bytes needed at the least.
        what: what needs them, for the message.
        way_out: what a person can do about it, for the message.

    Raises:
        InputError: if fewer bytes are free.
    """
    free = psutil.virtual_memory().available
    if size > free:
        raise InputError(
            f"{what} needs about {size / 2**30:.1f} GiB of memory and "
            f"{free / 2**30:.1f} GiB are free. {way_out}"
        )


def check_memory(models, batch_size):
    """Refuse a training that cannot fit into memory, before it starts.

    Counts one copy of each layer's output for a batch, which is about what the backward
    pass needs at the least.

    Args:
        models: functional `keras.Model`s of known image size, the first for images.
        batch_size: images a training step.

    Raises:
        InputError: if the outputs alone exceed the memory that is free.
    """
    layers = [layer for model in models for layer in model.layers]
    outputs = (x for layer in layers for x in keras.tree.flatten(layer.output))
    size = sum(tf.as_dtype(x.dtype).size * math.prod(x.shape[1:]) for x in outputs)
    batch = (batch_size, *models[0].inputs[0].shape[1:])
    if not tf.config.list_physical_devices("GPU"):
        check_fits(
            batch_size * size,
            f"A training step with a batch of {batch}",
            "Make the pictures, the batch or the network smaller.",
        )


def is_good_at_bfloat16():
    """Whether the GPUs, or without any the processor, have instructions for it."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        return all(one.get("compute_capability", (0,)) >= (8, 0) for one in details)
    return bool(BFLOAT16_INSTRUCTIONS & instructions())


def instructions():
    """What the processor can do, as Linux names it; nothing where that is not told."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0]
    except (OSError, IndexError):  # not Linux, or not x86
        return set()
    return set(flags.split())
