"""The learning rate over a run."""

import keras
import pytest

from train_tf.config import RunConfig
from train_tf.schedule import learning_rate


def test_constant_rate_is_the_number():
    config = RunConfig(name="x", learning_rate=0.3, schedule="constant")
    assert learning_rate(config, 7) == 0.3


def test_cosine_rises_in_a_twentieth_of_the_steps_and_falls_to_nearly_nothing():
    config = RunConfig(name="x", learning_rate=0.2, epochs=10)
    rate = learning_rate(config, 20)  # 200 steps, 10 of them rising
    assert float(rate(0)) == pytest.approx(0.02)
    assert float(rate(10)) == pytest.approx(0.2)
    assert float(rate(105)) == pytest.approx(0.2 * (0.995 / 2 + 0.005), rel=1e-4)
    assert float(rate(200)) == pytest.approx(0.2 * 0.005, rel=1e-4)


def test_run_of_one_step_has_a_rate():
    config = RunConfig(name="x", learning_rate=0.2, epochs=1)
    assert float(learning_rate(config, 1)(0)) == pytest.approx(0.2)


def test_cosine_is_keras_s():
    config = RunConfig(name="x", learning_rate=0.3, epochs=4)
    rate = learning_rate(config, 25)
    again = type(rate).from_config(rate.get_config())
    keras_s = keras.optimizers.schedules.CosineDecay(
        0.3 / 5, 95, 0.005, warmup_target=0.3, warmup_steps=5
    )
    for step in (0, 1, 4, 5, 6, 50, 99, 100, 120):
        assert float(rate(step)) == pytest.approx(float(keras_s(step)), rel=1e-5)
        assert float(again(step)) == float(rate(step))
