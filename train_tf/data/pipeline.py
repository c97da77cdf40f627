"""The tf.data pipeline: shuffled and augmented by seed and epoch alone.

Examples are held decoded, in their final size and type, as arrays in memory. Where
several replicas train together, replica r of R gets the rows r, r + R, r + 2 R, ... of
each batch, with the draws that these rows would have had in the whole batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf


class Replicas(NamedTuple):
    """Who shares the batches of a training.

    count: how many replicas there are.
    here: the numbers of those that are fed from here.
    """

    count: int = 1
    here: Sequence[int] = (0,)


ALONE = Replicas()


class Draws(keras.random.SeedGenerator):
    """What happens at random to the rows at hand, which are a share of a batch.

    Keras's random layers take it as their `seed`. Keras's own generator counts in a
    variable, so its draws depend on how often it was asked before: parallel batches
    would not be repeatable, nor a resumed run.

    Args:
        seed: an int32 tensor of shape (2,) that all draws follow from.
        batch_size: rows of the whole batch, which is drawn for.
        replica, replicas: the rows at hand are the rows `replica`, `replica + replicas`
            and so on of it.
    """

    def __init__(self, seed, batch_size, replica=0, replicas=1):
        # No super().__init__(): it would create that variable.
        self.seed, self.batch_size = seed, batch_size
        self.replica, self.replicas = replica, replicas
        self.draws = 0

    def next(self, ordered=True):
        self.draws += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.draws)

    def own(self, drawn):
        """Of what was drawn for the whole batch, (batch, ...), the rows at hand."""
        return drawn[self.replica :: self.replicas]


def steps_of(count, batch_size):
    """How many batches `count` examples make."""
    return -(-count // batch_size)


def evaluation_batches(arrays, batch_size, prepare, replicas=ALONE):
    """Batches of all examples in their order.

    Args:
        arrays: a tuple of arrays with one row an example.
        batch_size: examples a batch at the most; none has much fewer than another.
        prepare: function of a batch of each array.
        replicas: a `Replicas`.

    Returns:
        A `tf.data.Dataset` of `steps_of` batches; of several replicas, the share that
        each of them here has in the first batch, then in the second, and so on.
    """

    def batch(share, *examples):
        return prepare(*examples)

    arrays = tuple(map(tf.constant, arrays))
    order = tf.range(len(arrays[0]))
    batches = _shares(arrays, order, batch_size, batch, replicas)
    return _prefetched(batches, replicas)


def training_batches(arrays, batch_size, prepare, epochs, seed, replicas=ALONE):
    """The batches of several epochs, one after another.

    Order and random draws of an epoch depend on the seed and the epoch's number alone,
    so a run that was stopped goes on as if it had not been.

    Args:
        arrays, batch_size, replicas: as in `evaluation_batches`.
        prepare: function of a batch of each array and its `Draws`; gives a tuple.
        epochs: the `range` of epoch numbers.
        seed: a whole number.

    Returns:
        As `evaluation_batches`, for each epoch. With several replicas a batch ends with
        the weight of its mean, (batch,), less for a replica that has fewer examples
        than others, so that all examples of the whole batch count alike.
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
    """Change pictures at random with Keras's preprocessing layers, masks alike.

    Args:
        layers: `keras.layers.Random...`, applied in turn.
        images: (batch, height, width, channels), float32 in [0, 1].
        masks: class ids, (batch, height, width, 1).
        draws: the `Draws` of these rows.

    Returns:
        Images, in the type that the layers compute with, and masks; shapes stay.
    """
    mask_type = masks.dtype
    # Keras draws for as many pictures as it is shown.
    whole_batch = tf.zeros((draws.batch_size, *images.shape[1:]), tf.uint8)
    for layer in layers:
        change = layer.get_random_transformation(whole_batch, training=True, seed=draws)
        change = tf.nest.map_structure(
            lambda x: draws.own(x) if tf.is_tensor(x) and x.shape.rank else x, change
        )
        images = layer.transform_images(images, change, training=True)
        masks = layer.transform_segmentation_masks(masks, change, training=True)
    return images, tf.cast(masks, mask_type)


class _Share(NamedTuple):
    step: tf.Tensor  # number of the batch
    replica: tf.Tensor
    batch_size: tf.Tensor  # of the whole batch


def _shares(arrays, order, batch_size, batch, replicas):
    """What `batch(share, *examples)` gives for each batch and replica here."""
    count = len(arrays[0])
    steps = steps_of(count, batch_size)
    # Equal but for one row: a last batch of a few rows would make a wild step.
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
    # TensorFlow's rewriting of a pipeline copies all arrays, and finds nothing to do
    # where nothing is distributed.
    alone = replicas.count == 1
    options.experimental_optimization.apply_default_optimizations = not alone
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
