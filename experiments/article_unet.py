"""Train the article's UNet by the article's recipe, on the images of compare_unets.py.

From Vidushi Bhatia's U-Net-Implementation: per level two 3x3 convolutions with ReLU and
He initialisation, then batch normalization that is always called with training=False;
dropout 0.3 on the two deepest levels, max pooling, 3x3 transposed convolutions, one
more 3x3 convolution, softmax cross-entropy, Adam 1e-3, batches of 32, pixels / 256, no
augmentation. The article has 32 filters and 20 epochs.
"""

import dataclasses
import sys
import time
from pathlib import Path

from train_tf import command_line


@dataclasses.dataclass(frozen=True)
class ArticleConfig:
    """Train the article's UNet on the bundled pets and print its test metrics."""

    filters: int = 16
    """Channels of the first level."""

    epochs: int = 40
    """Number of passes over the training images."""

    seed: int = 0
    """Random seed; `UNetConfig` with this seed has the same split."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared data sets; by default the bundled samples."""

    out: Path = Path("results/article_unet.json")
    """JSON file for the metrics."""


def build_article_unet(filters, classes=3, size=128):
    """The article's network: (size, size, 3) pixels / 256 to (size, size, classes)."""
    import keras
    from keras import layers

    options = {"activation": "relu", "kernel_initializer": "he_normal"}

    def convolve(x, channels, times=2):
        for _ in range(times):
            x = layers.Conv2D(channels, 3, padding="same", **options)(x)
        return x

    image = keras.Input((size, size, 3))
    x, skips = image, []
    for level in range(5):
        x = convolve(x, filters * 2**level)
        x = layers.BatchNormalization()(x, training=False)
        if level >= 3:
            x = layers.Dropout(0.3)(x)
        if level < 4:
            skips.append(x)
            x = layers.MaxPooling2D(2)(x)
    for level in reversed(range(4)):
        channels = filters * 2**level
        x = layers.Conv2DTranspose(channels, 3, strides=2, padding="same")(x)
        x = convolve(layers.Concatenate()([x, skips[level]]), channels)
    x = convolve(x, filters, times=1)
    return keras.Model(image, layers.Conv2D(classes, 1)(x))


def main(config):
    """Train, and write the metrics of the last and of the best epoch."""
    import keras
    import numpy as np

    from train_tf.data.datasets import BUNDLED
    from train_tf.files import write_json
    from train_tf.run.report import provenance
    from unet_tf.config import UNetConfig
    from unet_tf.data import load_data
    from unet_tf.evaluation import metrics_of
    from unet_tf.metrics import SegmentationMetrics
    from unet_tf.report import table

    keras.utils.set_random_seed(config.seed)
    data = load_data(UNetConfig(seed=config.seed, data_dir=config.data_dir or BUNDLED))
    names = data.class_names
    model = build_article_unet(config.filters, len(names))
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[SegmentationMetrics(names)],
    )
    train, validation, test = (
        ((split.images / 256).astype("float32"), split.masks) for split in data[:3]
    )
    best = {"mean_iou": -1.0, "weights": None}

    def end_epoch(epoch, logs):
        print(
            f"Epoch {epoch + 1:3}/{config.epochs}  loss {logs['loss']:.4f}  accuracy "
            f"{logs['val_accuracy']:.4f}  mean IoU {logs['val_mean_iou']:.4f}",
            flush=True,
        )
        if logs["val_mean_iou"] > best["mean_iou"]:
            best.update(mean_iou=logs["val_mean_iou"], weights=model.get_weights())

    def test_metrics():
        predicted = model.predict(test[0], verbose=0).argmax(-1)
        return metrics_of(np.squeeze(test[1], -1), predicted, names)

    started = time.monotonic()
    model.fit(
        *train,
        batch_size=32,
        epochs=config.epochs,
        validation_data=validation,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
    )
    minutes = (time.monotonic() - started) / 60
    last_epoch = test_metrics()
    model.set_weights(best["weights"])
    best_epoch = test_metrics()
    print(f"\n{minutes:.1f} minutes, {model.count_params():,} parameters\n")
    rows = {"article, last epoch": last_epoch, "article, best epoch": best_epoch}
    print(table(rows, names))
    content = {
        "images": data.counts,
        "parameters": model.count_params(),
        "minutes": round(minutes, 2),
        "last_epoch_metrics": last_epoch,
        "best_epoch_metrics": best_epoch,
    }
    write_json(config.out, {**provenance(config), **content})


if __name__ == "__main__":
    sys.exit(command_line.run(ArticleConfig, main))
