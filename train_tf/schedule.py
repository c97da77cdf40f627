"""How the learning rate goes on."""

import math

import keras
from keras import ops

WARM_UP = 0.05  # share of the steps in which a cosine schedule rises
LAST = 0.005  # share of the highest rate that it ends with


def learning_rate(config, steps):
    """The learning rate of a run: a number, or a schedule over its steps.

    Args:
        config: a `train_tf.config.RunConfig`.
        steps: batches an epoch.
    """
    if config.schedule == "constant":
        return config.learning_rate
    return WarmUpCosine(config.learning_rate, steps * config.epochs)


@keras.saving.register_keras_serializable("train_tf")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises on a straight line, and falls as half a cosine (Loshchilov, Hutter 2017).

    Keras's CosineDecay is the same with a branch in it; an optimizer asks for the rate
    for each variable twice, and building as many branches took two seconds.

    Args:
        highest: the rate after the rise.
        total: steps of the whole run.
    """

    def __init__(self, highest, total):
        self.highest, self.total = highest, total

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = max(1, round(WARM_UP * self.total))
        rising = (1 + step * (1 - 1 / rise)) / rise
        fallen = ops.clip((step - rise) / max(1, self.total - rise), 0, 1)
        falling = LAST + (1 - LAST) * 0.5 * (1 + ops.cos(math.pi * fallen))
        return self.highest * ops.where(step < rise, rising, falling)

    def get_config(self):
        return {"highest": self.highest, "total": self.total}
