"""Train a model from where its run stands, and save every epoch."""

import errno
import math
import sys
import time

import keras
import tensorflow as tf

from train_tf.distributed import cluster, replicas
from train_tf.errors import InputError, Terminated
from train_tf.files import DISK_FULL


def fit(model, run, batches, steps, validation, validation_steps, callbacks):
    """Train up to the config's last epoch, from where the run stands.

    Args:
        model: a `keras.Model`, built and compiled in the scope of the run's strategy.
        run: a `Run`.
        batches: function from a `range` of epochs and a `train_tf.data.pipeline`
            `Replicas` to the batches of these epochs, one after another.
        steps: batches per epoch.
        validation: function from `Replicas` to the batches to validate on.
        validation_steps: their number.
        callbacks: `keras.callbacks.Callback`s that see each epoch after it was saved.

    Raises:
        InputError: if the loss is not finite, or memory runs out.
    """
    if run.is_complete:
        return
    epochs = range(run.epochs_done, run.config.epochs)
    strategy = run.workers.strategy
    replicas.prepare_to_fit(model)
    with strategy.scope():
        # TensorFlow would trace the first step twice if it built the optimizer.
        model.optimizer.build(model.trainable_variables)
    if run.epochs_done:
        run.load_last(model)
        print(f"Resumed after epoch {run.epochs_done}.")
    saving = [_SeedEveryEpoch(run.config.seed), _StopIfNotFinite(), _SaveEpochs(run)]
    try:
        model.fit(
            replicas.distribute(lambda some: batches(epochs, some), strategy),
            steps_per_epoch=steps,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            validation_data=replicas.distribute(validation, strategy),
            validation_steps=validation_steps,
            callbacks=saving + callbacks,
            verbose=0,
            shuffle=False,  # the batches come shuffled
        )
    except (KeyboardInterrupt, Terminated):
        progress = f"Stopped; {run.epochs_done} of {epochs.stop} epochs are saved."
        print(f"{progress} Continue with --resume.", file=sys.stderr)
        raise
    except tf.errors.ResourceExhaustedError as error:
        if DISK_FULL in str(error):  # TensorBoard's files
            raise OSError(errno.ENOSPC, DISK_FULL, str(run.folder)) from error
        raise InputError(
            "Memory ran out in training; finished epochs are saved. Use a smaller "
            "batch, smaller images or a smaller network."
        ) from error


class _SaveEpochs(keras.callbacks.Callback):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.monotonic()  # overwritten by the next batch

    def on_epoch_end(self, epoch, logs=None):
        ended = time.monotonic()
        seconds = (self.trained - self.started, ended - self.started)
        self.run.save(self.model, logs, seconds)
        if self.run.out_of_patience:
            self.model.stop_training = True


class _SeedEveryEpoch(keras.callbacks.Callback):
    """Makes random layers (dropout, sampling) depend on seed and epoch alone."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.name == "seed_generator_state"]
        for number, state in enumerate(states):
            state.assign([self.seed + number, epoch << 16])


class _StopIfNotFinite(keras.callbacks.Callback):
    """Ends the run before an epoch with a non-finite loss is saved."""

    def on_train_batch_end(self, batch, logs=None):
        cluster.WATCHDOG.report_progress()
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"The loss became {logs['loss']} at step {batch + 1} of epoch "
                f"{self.epoch + 1}; finished epochs are saved. Try a "
                "smaller --learning-rate or --precision float32, and check the data."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
