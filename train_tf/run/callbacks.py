"""What a person sees while a run goes on: a line an epoch, and TensorBoard."""

import sys

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tqdm import tqdm


class Progress(keras.callbacks.Callback):
    """A bar for all that is left of the run, and a line for each epoch that ends.

    Args:
        first: the epoch to start from, counted from 0.
        epochs: the epoch to stop before.
        steps: batches an epoch.
        shown: name in the history to name on the screen.
    """

    def __init__(self, first, epochs, steps, shown):
        super().__init__()
        self.first, self.epochs, self.steps, self.shown = first, epochs, steps, shown

    def on_train_begin(self, logs=None):
        self.bar = tqdm(
            total=self.epochs * self.steps,
            initial=self.first * self.steps,
            desc="Training",
            unit="step",
            disable=not sys.stderr.isatty(),
            leave=False,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        figures = "  ".join(
            f"{title} {logs[name]:.4f}" for name, title in self.shown.items()
        )
        width = len(str(self.epochs))
        tqdm.write(f"Epoch {epoch + 1:{width}}/{self.epochs}  {figures}")
        sys.stdout.flush()

    def on_train_end(self, logs=None):
        self.bar.close()


class TensorBoard(keras.callbacks.Callback):
    """Scalars of training and validation, pictures, the graph and the options.

    Titles have the group before a slash that TensorBoard folds them by; it opens the
    first two, "figures" and "pictures".

    Keras's own callback writes each validation figure a second time under another name,
    does not draw functional models, and leaves the last epochs unwritten when a run is
    killed.

    Args:
        folder: where the event files go.
        name: what the run is called in the table of options.
        options: name to number, text or bool of what may differ between runs.
        inputs: `tf.TensorSpec`s of what the model is called with, for the graph.
        pictures: function from a model to name and pictures, (count, height, width,
            channels), in [0, 1] or uint8; called after each epoch.
        histograms: function from a model to name and numbers, whose distribution is shown;
            called after each epoch.
    """

    def __init__(self, folder, name, options, inputs, pictures, histograms=None):
        super().__init__()
        self.name, self.options = name, options
        self.inputs, self.pictures = inputs, pictures
        self.histograms = histograms or (lambda model: {})
        self.training = tf.summary.create_file_writer(str(folder / "train"))
        self.validation = tf.summary.create_file_writer(str(folder / "validation"))

    def on_train_begin(self, logs=None):
        with self.validation.as_default():
            # No list of options and figures: TensorBoard takes that of one run for all
            # that it shows, and finds them by itself, those that differ first.
            hparams.hparams(self.options, trial_id=self.name)
        self.graph_is_written = False

    def on_epoch_end(self, epoch, logs=None):
        step = epoch + 1
        if not self.graph_is_written:  # tracing it would make the first step wait
            with self.training.as_default():
                forward = tf.function(self.model).get_concrete_function(self.inputs)
                tf.summary.graph(forward.graph)
            self.graph_is_written = True
        for name, value in logs.items():
            of_validation = name.startswith("val_")
            writer = self.validation if of_validation else self.training
            with writer.as_default():
                title = f"figures/{name.removeprefix('val_')}"
                tf.summary.scalar(title, value, step)
        with self.training.as_default():
            rate = self.model.optimizer.learning_rate
            tf.summary.scalar("training/learning_rate", rate, step)
        with self.validation.as_default():
            for name, pictures in self.pictures(self.model).items():
                title, count = f"pictures/{name}", len(pictures)
                tf.summary.image(title, pictures, step, max_outputs=count)
            for name, numbers in self.histograms(self.model).items():
                tf.summary.histogram(f"histograms/{name}", numbers, step)
        self.training.flush()
        self.validation.flush()

    def on_train_end(self, logs=None):
        self.training.close()
        self.validation.close()
