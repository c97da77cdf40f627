"""Values out of range are rejected, in eager mode and in graphs."""

import numpy as np
import pytest
import tensorflow as tf

from train_tf.assertions import only_if, within


def test_what_is_out_of_range_is_rejected_with_the_range():
    np.testing.assert_array_equal(within("image", tf.constant([0.0, 1]), 0, 1), [0, 1])
    for wrong in ([0.5, 1.5], [-0.1], [np.nan], [np.inf]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="image from 0 to 1"):
            within("image", tf.constant(wrong), 0, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected latent"):
        within("latent", tf.constant([1.0, np.nan]))


def test_nothing_is_computed_before_the_condition_is_known():
    @tf.function
    def root(number):
        with only_if(number >= 0, "Expected a number from 0. Received:", number):
            return tf.debugging.check_numerics(tf.sqrt(number), "computed")

    assert root(tf.constant(4.0)) == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected a number"):
        root(tf.constant(-1.0))
