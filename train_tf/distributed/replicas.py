"""One model trained by several replicas, which give what one would give."""

import threading
from typing import NamedTuple

import keras
import tensorflow as tf

from train_tf.data.pipeline import Replicas, steps_of
from train_tf.errors import InputError


def check_enough(counts, batch_size, replicas):
    """Refuse batches in which not every replica would have an example.

    Args:
        counts: part to number of examples, of "train" and "validation".
        batch_size: examples a batch at the most.
        replicas: how many there are.

    Raises:
        InputError: says the smallest batch, or that there are too few for any.
    """
    for part in ("train", "validation"):
        smallest = counts[part] // steps_of(counts[part], batch_size)
        if counts[part] < replicas:
            raise InputError(
                f"Expected an image for each of {replicas} replicas. Received: "
                f"{counts[part]} images for {part}."
            )
        if smallest < replicas:
            raise InputError(
                f"Expected a --batch-size that gives each of {replicas} replicas an "
                f"image. Received: {batch_size}, which makes batches of {smallest} of "
                f"the {counts[part]} images for {part}."
            )


def spread(batches, strategy):
    """Batches for the replicas of a strategy.

    Args:
        batches: function from a `train_tf.data.pipeline.Replicas` to a `tf.data.Dataset`.
        strategy: a `tf.distribute.Strategy`.

    Returns:
        What `keras.Model.fit` takes. With several replicas it does not end.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches(Replicas())

    def of_machine(context):
        here = count // context.num_input_pipelines
        first = context.input_pipeline_id * here
        # One that ends would have all workers ask each other before every step.
        return batches(Replicas(count, tuple(range(first, first + here)))).repeat()

    return strategy.distribute_datasets_from_function(of_machine)


class ReplicaContext(NamedTuple):
    """The number of a replica, and how many there are."""

    replica: int | tf.Tensor
    replicas: int


def replica_context():
    """The `ReplicaContext` of the replica that is computing."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return ReplicaContext(0, 1)
    return ReplicaContext(
        context.replica_id_in_sync_group, context.num_replicas_in_sync
    )


def mean_over_replicas(values):
    """The mean of values whose first axis is the batch, over all replicas' rows."""
    mean, rows = tf.reduce_mean(values), tf.cast(tf.shape(values)[0], values.dtype)
    if replica_context().replicas == 1:
        return mean
    context = tf.distribute.get_replica_context()
    total, count = context.all_reduce("SUM", [mean * rows, rows])
    return total / count


def prepare_to_fit(model):
    """Let a compiled model be trained by its strategy as if by one replica.

    Batch norm takes the statistics of the whole batch, layers that draw draw for the
    whole batch, and a replica's loss counts as much as it has images.

    And two steps of Keras that fail with several replicas or workers
    (https://github.com/keras-team/keras/issues/20585) are replaced in this one model:
    it is built from what one replica is fed, not from a mean over replicas, and the
    logs of a step, which Keras averages over the rows of all workers, are given as
    rows.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        if layer._seed_generators and layer is not model:
            layer.call = _drawn_for_whole_batch(layer.call)

    def build_from_own_share(iterator=None, data_batch=None):
        if iterator is not None:
            _, _, shares = next(iter(iterator))
            data_batch = tf.nest.map_structure(
                lambda x: strategy.experimental_local_results(x)[0], next(shares)
            )[:2]
        with strategy.scope():
            model._symbolic_build(data_batch=data_batch)

    of_thread = threading.local()  # replicas of one machine are traced by one each
    scale_loss = model.optimizer.scale_loss

    def weighted(step):
        def train_step(data):
            *examples, weights = data
            of_thread.weight = weights[0]
            return step(tuple(examples))

        return train_step

    def as_rows(step):
        return lambda data: tf.nest.map_structure(
            lambda x: tf.reshape(x, [1]), step(data)
        )

    model._maybe_symbolic_build = build_from_own_share
    model.optimizer.scale_loss = lambda loss: of_thread.weight * scale_loss(loss)
    model.train_step = weighted(model.train_step)
    if strategy.cluster_resolver is not None:
        model.train_step = as_rows(model.train_step)
        model.test_step = as_rows(model.test_step)


class Own:
    """A worker's own copy of the model that all train, to compute with by itself.

    Args:
        build: function without arguments that gives a model of the same kind.
    """

    def __init__(self, build):
        self.build, self.copy = build, None

    def of(self, model):
        """A model with the weights of `model`; that one itself if it has one worker."""
        if model.distribute_strategy.cluster_resolver is None:
            return model
        self.copy = self.copy or self.build()
        self.copy.set_weights(model.get_weights())
        return self.copy


def _drawn_for_whole_batch(call):
    """The call of a layer that draws for each row, such that replicas draw as one."""

    def own_rows(*inputs, **settings):
        replica, count = replica_context()
        if count == 1:
            return call(*inputs, **settings)
        # Each row stands at its place in the whole batch, and at its neighbours' too.
        whole = (tf.repeat(x, count, axis=0) for x in inputs)
        return call(*whole, **settings)[replica::count]

    return own_rows
