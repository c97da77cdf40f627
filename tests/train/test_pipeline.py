"""The pipeline: order and draws follow from seed and epoch alone."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from train_tf.data.pipeline import (
    Draws,
    Replicas,
    augment,
    evaluation_batches,
    training_batches,
)

ROWS = np.arange(10)


def with_draw(rows, draws):
    return rows, tf.random.stateless_uniform((), draws.seed)


def epochs(start, stop, seed=0, batch_size=4):
    batches = training_batches((ROWS,), batch_size, with_draw, range(start, stop), seed)
    return [(rows.tolist(), float(draw)) for rows, draw in batches.as_numpy_iterator()]


def test_each_epoch_has_every_row_once_in_an_order_of_its_own():
    batches = [rows for rows, _ in epochs(0, 3)]
    assert list(map(len, batches)) == [3, 3, 4] * 3
    orders = [sum(batches[start : start + 3], []) for start in (0, 3, 6)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_later_epochs_are_the_same_whether_or_not_earlier_ones_ran():
    assert epochs(0, 5)[6:] == epochs(2, 5)


def test_nothing_else_decides_the_order():
    first = epochs(0, 2)
    keras.utils.set_random_seed(99)
    assert epochs(0, 2) == first
    assert epochs(0, 2, seed=1) != first


def test_every_batch_draws_for_itself():
    draws = [draw for _, draw in epochs(0, 3)]
    assert len(set(draws)) == len(draws)


def test_evaluation_keeps_the_order_and_the_last_rows():
    batches = evaluation_batches(
        (ROWS, -ROWS), 4, lambda rows, negative: rows - negative
    )
    assert [batch.tolist() for batch in batches.as_numpy_iterator()] == [
        [0, 2, 4],
        [6, 8, 10],
        [12, 14, 16, 18],
    ]


def test_keras_layers_draw_what_the_seed_says_eagerly_and_in_tf_data():
    flip = keras.layers.RandomFlip("horizontal")
    images = np.random.rand(8, 4, 4, 3).astype("float32")
    masks = np.random.randint(0, 3, (8, 4, 4, 1)).astype("uint8")

    def flipped(seed):
        return augment([flip], images, masks, Draws(tf.convert_to_tensor(seed), 8))

    eager = flipped([3, 4])
    [in_graph] = tf.data.Dataset.from_tensors([3, 4]).map(flipped)
    for one, other in zip(eager, in_graph, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (eager[0] != flipped([3, 5])[0]).numpy().any()


def test_draws_of_one_seed_differ_from_one_another():
    draws = Draws(tf.constant([1, 2]), 4)
    first, second = (keras.random.uniform((4,), seed=draws) for _ in range(2))
    assert (first != second).numpy().all()


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_any_batch_size_gives_all_rows(batch_size):
    rows = sum((rows for rows, _ in epochs(0, 1, batch_size=batch_size)), [])
    assert sorted(rows) == list(range(10))


@pytest.mark.parametrize("here", [[(0, 1)], [(0,), (1,)], [(0,), (1,), (2,)]])
def test_replicas_share_each_batch_and_its_draws(here):
    """Rows with draws of their own, put together again, are those of one replica."""

    def prepare(rows, draws):
        drawn = keras.random.uniform((draws.batch_size,), seed=draws)
        return rows, draws.rows(drawn)

    def batches(replicas):
        return list(
            training_batches(
                (ROWS,), 4, prepare, range(2), 0, replicas
            ).as_numpy_iterator()
        )

    whole = batches(Replicas())
    count = sum(map(len, here))
    shares = [iter(batches(Replicas(count, numbers))) for numbers in here]
    for rows, drawn in whole:
        together, weights = {}, 0
        for feed, numbers in zip(shares, here, strict=True):
            for _ in numbers:
                own_rows, own_drawn, weight = next(feed)
                together |= zip(own_rows.tolist(), own_drawn.tolist(), strict=True)
                assert weight == pytest.approx(len(own_rows) * count / len(rows))
                weights += weight[0] / count
        assert together == dict(zip(rows.tolist(), drawn.tolist(), strict=True))
        assert weights == pytest.approx(1)
    assert all(next(feed, None) is None for feed in shares)


def test_replicas_augment_as_one():
    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomZoom(0.2, fill_mode="reflect"),
        keras.layers.RandomRotation(0.1, fill_mode="reflect"),
        keras.layers.RandomBrightness(0.2, value_range=(0, 1)),
        keras.layers.RandomContrast(0.3, value_range=(0, 1)),
    ]
    images = np.random.default_rng(0).random((7, 8, 8, 3)).astype("float32")
    masks = np.arange(7 * 64, dtype="uint8").reshape(7, 8, 8, 1) % 3
    seed = tf.constant([5, 6])
    whole = augment(layers, images, masks, Draws(seed, 7))
    for replica in range(3):
        own = slice(replica, None, 3)
        draws = Draws(seed, 7, replica, 3)
        for one, other in zip(
            whole, augment(layers, images[own], masks[own], draws), strict=True
        ):
            np.testing.assert_allclose(one[own], other, atol=1e-6)


@pytest.mark.slow
def test_memory_holds_the_examples_once_beside_those_given():
    code = r"""
        import re
        from pathlib import Path

        import numpy as np

        from train_tf.data.pipeline import training_batches

        def peak():  # bytes; getrusage's would count the parent's peak too
            status = Path("/proc/self/status").read_text()
            return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])

        photos = np.ones((4000, 300, 300, 3), "uint8")  # about 1 GiB
        before = peak()
        batches = training_batches((photos,), 16, lambda x, draws: (x,), range(9), 0)
        for _, _ in zip(range(20), batches):
            pass
        print((peak() - before) / photos.nbytes)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 1 < float(answer.stdout) < 2.5  # TensorFlow copies by way of a second copy
