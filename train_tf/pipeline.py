"""The tf.data pipeline: shuffled and augmented by seed and epoch alone.

Examples are held decoded, in their final size and type, as arrays in memory.
"""

import keras
import tensorflow as tf


def evaluation_batches(arrays, batch_size, prepare):
    """Batches of all examples in their order.

    Args:
        arrays: a tuple of arrays with one row an example.
        batch_size: examples a batch; the last may have fewer.
        prepare: function of one batch of each array.
    """
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    return batches.map(prepare, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def training_batches(arrays, batch_size, prepare, epochs, seed):
    """The batches of several epochs, one after another.

    Order and random draws of an epoch depend on the seed and the epoch's number alone,
    so a run that was stopped goes on as if it had not been.

    Args:
        arrays: a tuple of arrays with one row an example.
        batch_size: examples a batch; the last batch of an epoch may have fewer.
        prepare: function of one batch of each array and a seed, an int32 tensor of
            shape (2,), that its draws shall follow from.
        epochs: the `range` of epoch numbers.
        seed: a whole number.

    Returns:
        A `tf.data.Dataset` of ceil(examples / batch_size) batches an epoch.
    """
    arrays = tuple(map(tf.constant, arrays))
    fold_in = tf.random.experimental.stateless_fold_in

    def batches_of(epoch):
        epoch_seed = tf.stack([tf.constant(seed), tf.cast(epoch, tf.int32)])
        order = tf.argsort(tf.random.stateless_uniform([len(arrays[0])], epoch_seed))

        def batch(number, rows):
            examples = (tf.gather(array, rows) for array in arrays)
            return prepare(*examples, fold_in(epoch_seed, number))

        rows = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return rows.enumerate().map(batch, tf.data.AUTOTUNE)

    numbers = tf.data.Dataset.range(epochs.start, epochs.stop)
    return numbers.flat_map(batches_of).prefetch(tf.data.AUTOTUNE)


class SeededDraws(keras.random.SeedGenerator):
    """Hands Keras's random layers seeds that follow from one given seed.

    Keras's own generator counts in a variable, so its draws depend on how often it was
    asked before: parallel batches would not be repeatable, nor a resumed run.

    Args:
        seed: an int32 tensor of shape (2,).
    """

    def __init__(self, seed):  # no super().__init__(): it would create that variable
        self.seed = seed
        self.draws = 0

    def next(self, ordered=True):
        self.draws += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.draws)


def augment(layers, images, masks, seed):
    """Change pictures at random with Keras's preprocessing layers, masks alike.

    Args:
        layers: `keras.layers.Random...`, applied in turn.
        images: (batch, height, width, channels), float32 in [0, 1].
        masks: class ids, (batch, height, width, 1).
        seed: an int32 tensor of shape (2,) that all draws follow from.

    Returns:
        Images and masks, as they came in shape and type.
    """
    draws, mask_type = SeededDraws(seed), masks.dtype
    for layer in layers:
        change = layer.get_random_transformation(images, training=True, seed=draws)
        images = layer.transform_images(images, change, training=True)
        masks = layer.transform_segmentation_masks(masks, change, training=True)
    return images, tf.cast(masks, mask_type)
