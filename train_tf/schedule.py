"""How the learning rate goes on."""

import keras

WARM_UP = 0.05  # share of the steps in which a cosine schedule rises
LAST = 0.005  # share of the highest rate that it ends with


def learning_rate(config, steps):
    """The learning rate of a run: a number, or a schedule over its steps.

    Args:
        config: a `train_tf.config.RunConfig`.
        steps: batches an epoch.
    """
    highest, total = config.learning_rate, steps * config.epochs
    if config.schedule == "constant":
        return highest
    rise = max(1, round(WARM_UP * total))
    return keras.optimizers.schedules.CosineDecay(
        highest / rise,
        max(1, total - rise),
        LAST,
        warmup_target=highest,
        warmup_steps=rise,
    )
