"""What a user sees of a running training: a line per epoch, and TensorBoard."""

import sys

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tqdm import tqdm


class Progress(keras.callbacks.Callback):
    """A progress bar for the rest of the run, and a line per epoch.

    Args:
        first: the epoch to start from, counted from 0.
        epochs: the epoch to stop before.
        steps: batches per epoch.
        titles: dict, name in the history -> title on the screen.
    """

    def __init__(self, first, epochs, steps, titles):
        super().__init__()
        self.first, self.epochs, self.steps, self.titles = first, epochs, steps, titles

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
        metrics = "  ".join(
            f"{title} {logs[name]:.4f}" for name, title in self.titles.items()
        )
        width = len(str(self.epochs))
        tqdm.write(f"Epoch {epoch + 1:{width}}/{self.epochs}  {metrics}")
        sys.stdout.flush()

    def on_train_end(self, logs=None):
        self.bar.close()


class TensorBoard(keras.callbacks.Callback):
    """Scalars of training and validation, images, histograms, graph and options.

    Tags have their group before a slash, as TensorBoard folds them: metrics/, images/,
    histograms/ and training/.

    Keras's own callback writes each validation metric a second time under another name,
    does not draw functional models, and loses the last epochs when a run is killed.

    Args:
        folder: where the event files go, in train/ and validation/.
        name: of the run.
        options: what may differ between runs: dict, name -> number, string or bool.
        inputs: `tf.TensorSpec`s of the model's inputs, for the graph.
        images: function from a model to a dict, title -> images, (count, height, width,
            channels), in [0, 1] or uint8; called after each epoch.
        histograms: function from a model to a dict, title -> numbers; called after
            each epoch.
    """

    def __init__(self, folder, name, options, inputs, images, histograms=None):
        super().__init__()
        self.name, self.options, self.inputs = name, options, inputs
        self.images, self.histograms = images, histograms or (lambda model: {})
        self.training = tf.summary.create_file_writer(str(folder / "train"))
        self.validation = tf.summary.create_file_writer(str(folder / "validation"))

    def on_train_begin(self, logs=None):
        with self.validation.as_default():
            # Without a list of options and metrics: TensorBoard would apply one run's
            # list to all runs, and finds the differing ones itself.
            hparams.hparams(self.options, trial_id=self.name)
        self.graph_is_written = False

    def on_epoch_end(self, epoch, logs=None):
        step = epoch + 1
        if not self.graph_is_written:  # tracing it earlier would delay the first step
            with self.training.as_default():
                forward = tf.function(
                    self.model, autograph=False
                ).get_concrete_function(self.inputs)
                tf.summary.graph(forward.graph)
            self.graph_is_written = True
        for name, value in logs.items():
            metric = name.removeprefix("val_")
            writer = self.training if metric == name else self.validation
            with writer.as_default():
                tf.summary.scalar(f"metrics/{metric}", value, step)
        with self.training.as_default():
            learning_rate = self.model.optimizer.learning_rate
            tf.summary.scalar("training/learning_rate", learning_rate, step)
        with self.validation.as_default():
            for title, images in self.images(self.model).items():
                tag, count = f"images/{title}", len(images)
                tf.summary.image(tag, images, step, max_outputs=count)
            for title, numbers in self.histograms(self.model).items():
                tf.summary.histogram(f"histograms/{title}", numbers, step)
        self.training.flush()
        self.validation.flush()

    def on_train_end(self, logs=None):
        self.training.close()
        self.validation.close()
