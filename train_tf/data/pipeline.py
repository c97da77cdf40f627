"""The tf.data pipeline: order and augmentation depend on seed and epoch only.

Examples are decoded, have their final size, and stay in memory as arrays.
Where R replicas train together, replica r gets the rows r, r + R, r + 2 R, ... of each
batch, with the random draws that these rows have in the whole batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf


class Replicas(NamedTuple):
    """The replicas that share the batches of a training.

    count: their number.
    here: the numbers of those that this process feeds.
    """

    count: int = 1
    here: Sequence[int] = (0,)


SINGLE_REPLICA = Replicas()


class Draws(keras.random.SeedGenerator):
    """A stateless seed generator for one batch, of which some rows are processed here.

    Keras's random layers take it as their `seed`. Keras's own generator counts its
    draws in a variable, so that neither parallel batches nor a resumed run would be
    repeatable.

    Args:
        seed: an int32 tensor of shape (2,); all draws follow from it.
        batch_size: rows of the whole batch.
        replica, replica_count: the rows processed here are `replica`, `replica +
            replica_count` and so on of the batch.
    """

    def __init__(self, seed, batch_size, replica=0, replica_count=1):
        # No super().__init__(): it would create that variable.
        self.seed, self.batch_size = seed, batch_size
        self.replica, self.replica_count = replica, replica_count
        self.draws = 0

    def next(self, ordered=True):
        self.draws += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.draws)

    def rows(self, drawn):
        """The rows processed here, of draws for the whole batch, (batch, ...)."""
        return drawn[self.replica :: self.replica_count]


def num_batches(count, batch_size):
    """How many batches `count` examples make."""
    return -(-count // batch_size)


def evaluation_batches(arrays, batch_size, prepare, replicas=SINGLE_REPLICA):
    """Batches of all examples in order.

    Args:
        arrays: a tuple of arrays with one row per example.
        batch_size: the most examples per batch; batches differ by at most one.
        prepare: function from a batch of each array to what the model takes.
        replicas: a `Replicas`.

    Returns:
        A `tf.data.Dataset` of `num_batches` batches; for several replicas, one
        element per batch and replica of this process: first those of the first batch,
        then those of the second, and so on.
    """

    def batch(share, *examples):
        return prepare(*examples)

    arrays = tuple(map(tf.constant, arrays))
    order = tf.range(len(arrays[0]))
    batches = _shares(arrays, order, batch_size, batch, replicas)
    return _prefetched(batches, replicas)


def training_batches(
    arrays, batch_size, prepare, epochs, seed, replicas=SINGLE_REPLICA
):
    """The batches of several epochs, one after another.

    Order and random draws of an epoch depend only on the seed and the epoch's number,
    so that a resumed run continues as if it had not been stopped.

    Args:
        arrays, batch_size, replicas: as in `evaluation_batches`.
        prepare: function from a batch of each array and its `Draws` to a tuple.
        epochs: the `range` of epoch numbers.
        seed: an integer.

    Returns:
        As `evaluation_batches`, for each epoch. With several replicas each tuple ends
        with a weight, (batch,), smaller for a replica that has fewer examples than
        others, so that all examples of the whole batch count equally.
    """
    arrays = tuple(map(tf.constant, arrays))
    fold_in = tf.random.experimental.stateless_fold_in

    def batches_of(epoch):
        epoch_seed = tf.stack([tf.constant(seed), tf.cast(epoch, tf.int32)])
        order = tf.argsort(tf.random.stateless_uniform([len(arrays[0])], epoch_seed))

        def batch(share, *examples):
            draws = Draws(
                fold_in(epoch_seed, share.step),
                share.batch_size,
                share.replica,
                replicas.count,
            )
            batch = prepare(*examples, draws)
            if replicas.count == 1:
                return batch
            rows = tf.shape(examples[0])[0]
            weight = rows * replicas.count / share.batch_size
            return *batch, tf.fill([rows], tf.cast(weight, tf.float32))

        return _shares(arrays, order, batch_size, batch, replicas)

    numbers = tf.data.Dataset.range(epochs.start, epochs.stop)
    return _prefetched(numbers.flat_map(batches_of), replicas)


def augment(layers, images, masks, draws):
    """Augment images and masks alike with Keras's preprocessing layers.

    Args:
        layers: `keras.layers.Random...`, applied in order.
        images: (batch, height, width, channels), float32 in [0, 1].
        masks: class ids, (batch, height, width, 1).
        draws: the `Draws` of the batch.

    Returns:
        Images, in the layers' compute dtype, and masks, in their own; same shapes.
    """
    mask_type = masks.dtype
    # Keras draws for as many images as it is given.
    whole_batch = tf.zeros((draws.batch_size, *images.shape[1:]), tf.uint8)
    for layer in layers:
        change = layer.get_random_transformation(whole_batch, training=True, seed=draws)
        change = tf.nest.map_structure(
            lambda x: draws.rows(x) if tf.is_tensor(x) and x.shape.rank else x, change
        )
        images = layer.transform_images(images, change, training=True)
        masks = layer.transform_segmentation_masks(masks, change, training=True)
    return images, tf.cast(masks, mask_type)


class _Share(NamedTuple):
    step: tf.Tensor  # number of the batch
    replica: tf.Tensor
    batch_size: tf.Tensor  # of the whole batch


def _shares(arrays, order, batch_size, batch, replicas):
    """The results of `batch(share, *examples)` for each batch and replica here."""
    count = len(arrays[0])
    steps = num_batches(count, batch_size)
    # Sizes differ by one at most: a last batch of few rows would make a noisy step.
    starts = tf.constant([count * step // steps for step in range(steps + 1)])
    here = tf.constant(replicas.here)

    def share(number):
        step, replica = number // len(replicas.here), here[number % len(replicas.here)]
        rows = order[starts[step] + replica : starts[step + 1] : replicas.count]
        examples = (tf.gather(array, rows) for array in arrays)
        return batch(_Share(step, replica, starts[step + 1] - starts[step]), *examples)

    numbers = tf.data.Dataset.range(steps * len(replicas.here), output_type=tf.int32)
    return numbers.map(share, tf.data.AUTOTUNE)


def _prefetched(batches, replicas):
    options = tf.data.Options()
    # TensorFlow's optimization of a pipeline copies all arrays, and has an effect only
    # where it is distributed.
    distributed = replicas.count > 1
    options.experimental_optimization.apply_default_optimizations = distributed
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
