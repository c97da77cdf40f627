"""The learning-rate schedule: linear warm-up, then cosine decay, or constant."""

import math

import keras
from keras import ops

LR_WARM_UP = 0.05  # share of the steps in which the learning rate rises
FINAL = 0.005  # the last learning rate as a share of the peak


def learning_rate(config, steps):
    """The learning rate of a `RunConfig`: a number, or a schedule.

    `steps` is the number of steps per epoch.
    """
    if config.schedule == "constant":
        return config.learning_rate
    return WarmUpCosine(config.learning_rate, steps * config.epochs)


@keras.saving.register_keras_serializable("train_tf")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then half a cosine (Loshchilov, Hutter 2017, "SGDR").

    Keras's CosineDecay uses tf.cond. The optimizer evaluates the schedule twice per
    variable, and building all these branches took two seconds.

    Args:
        peak: the learning rate after the warm-up.
        total: steps of the whole run.
    """

    def __init__(self, peak, total):
        self.peak, self.total = peak, total

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = max(1, round(LR_WARM_UP * self.total))
        rising = (1 + step * (1 - 1 / rise)) / rise
        fraction = ops.clip((step - rise) / max(1, self.total - rise), 0, 1)
        falling = FINAL + (1 - FINAL) * 0.5 * (1 + ops.cos(math.pi * fraction))
        return self.peak * ops.where(step < rise, rising, falling)

    def get_config(self):
        return {"peak": self.peak, "total": self.total}
