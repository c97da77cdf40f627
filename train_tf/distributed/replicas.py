"""Data-parallel training that gives the same weights as one replica."""

import threading

import keras
import tensorflow as tf

from train_tf.data.pipeline import Replicas, num_batches
from train_tf.distributed.cluster import Workers
from train_tf.errors import InputError


def check_batch_size(counts, batch_size, replica_count):
    """Reject batches in which a replica would have no image.

    Args:
        counts: number of images of the "train" and "validation" splits.
        batch_size: the most images per batch, over all replicas.
        replica_count: number of replicas.

    Raises:
        InputError: if a batch would be too small.
    """
    for split in ("train", "validation"):
        count = counts[split]
        smallest = count // num_batches(count, batch_size)
        if count < replica_count:
            raise InputError(
                f"Expected an image for each of {replica_count} replicas. Received: "
                f"{count} images for {split}."
            )
        if smallest < replica_count:
            raise InputError(
                f"Expected a --batch-size that gives each of {replica_count} replicas "
                f"an image. Received: {batch_size}, which makes batches of {smallest} "
                f"of the {count} images for {split}."
            )


def distribute(batches, strategy):
    """Batches for the replicas of a strategy.

    Args:
        batches: function from a `train_tf.data.pipeline.Replicas` to a
            `tf.data.Dataset`.
        strategy: a `tf.distribute.Strategy`.

    Returns:
        A data set for `keras.Model.fit`; infinite for several replicas.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches(Replicas())

    def of_worker(context):
        local = count // context.num_input_pipelines
        first = context.input_pipeline_id * local
        # Workers with a finite data set ask each other before every step.
        return batches(Replicas(count, tuple(range(first, first + local)))).repeat()

    return strategy.distribute_datasets_from_function(of_worker)


def replica_context():
    """The number of the replica that computes, from 0, and how many there are."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def mean_over_replicas(values):
    """The mean over the rows of all replicas, (batch, ...) each; a scalar."""
    mean, rows = tf.reduce_mean(values), tf.cast(tf.shape(values)[0], values.dtype)
    _, count = replica_context()
    if count == 1:
        return mean
    context = tf.distribute.get_replica_context()
    total, rows = context.all_reduce("SUM", [mean * rows, rows])
    return total / rows


def prepare_to_fit(model):
    """Change a compiled model so that its replicas train as one replica would.

    Batch norm uses the statistics of the whole batch, random layers draw for the whole
    batch, and the loss of a replica is weighted by its number of images.

    Two steps of Keras that fail with several replicas or workers
    (https://github.com/keras-team/keras/issues/20585) are replaced in this model: it is
    built from the batch of one replica instead of a mean over replicas, whose batches
    differ in size; and the logs of a step get a batch axis, over which Keras averages
    them between workers.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    for layer in model._flatten_layers():  # `model.layers` has no sublayers of layers
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        attributes = vars(layer).values()
        draws = any(isinstance(x, keras.random.SeedGenerator) for x in attributes)
        if draws and layer is not model:
            layer.call = _draw_for_whole_batch(layer.call)

    def build_from_one_replica(iterator=None, data_batch=None):
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data_batch = tf.nest.map_structure(
                lambda x: strategy.experimental_local_results(x)[0], next(batches)
            )[:2]
        with strategy.scope():
            model._symbolic_build(data_batch=data_batch)

    local = threading.local()  # each replica of a machine is traced in its own thread
    scale_loss, train_step = model.optimizer.scale_loss, model.train_step

    def weighted_train_step(data):
        *examples, weights = data
        local.weight = weights[0]
        return train_step(tuple(examples))

    def with_batch_axis(step):
        return lambda data: tf.nest.map_structure(
            lambda x: tf.reshape(x, [1]), step(data)
        )

    model._maybe_symbolic_build = build_from_one_replica  # `fit` always calls it
    model.optimizer.scale_loss = lambda loss: local.weight * scale_loss(loss)
    model.train_step = weighted_train_step
    if not Workers(strategy).is_alone:
        model.train_step = with_batch_axis(model.train_step)
        model.test_step = with_batch_axis(model.test_step)


class LocalCopy:
    """A copy of a distributed model, for a worker to compute with by itself.

    Args:
        build: function without arguments that returns a model of the same kind.
    """

    def __init__(self, build):
        self.build, self.copy = build, None

    def of(self, model):
        """The copy with the weights of `model`; without other workers, `model`."""
        if Workers(model.distribute_strategy).is_alone:
            return model
        self.copy = self.copy or self.build()
        self.copy.set_weights(model.get_weights())
        return self.copy


def _draw_for_whole_batch(call):
    """A random layer's call that draws for the whole batch and keeps its own rows."""

    def call_on_own_rows(*inputs, **options):
        replica, count = replica_context()
        if count == 1:
            return call(*inputs, **options)
        # Row i of this replica is row `replica + i * count` of the whole batch; the
        # rows of the other replicas are filled with copies.
        whole_batch = (tf.repeat(x, count, axis=0) for x in inputs)
        return call(*whole_batch, **options)[replica::count]

    return call_on_own_rows
