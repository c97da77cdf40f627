"""UNet training: its data, model, images for TensorBoard, results and SavedModel."""

import keras
import numpy as np
import tensorflow as tf

from train_tf import devices
from train_tf.assertions import within
from train_tf.config import choose
from train_tf.data.decode_image import decode_image
from train_tf.export import Signature, export
from train_tf.optimizers import ConvMuon
from train_tf.run import training
from train_tf.schedule import learning_rate
from unet_tf import data, evaluation, report
from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS
from unet_tf.losses import LOSSES
from unet_tf.metrics import SegmentationMetrics
from unet_tf.model import build_unet

EXAMPLES = 8  # validation images in TensorBoard, test images in predictions.png
ZOOM = 2  # enlarges the images in TensorBoard
TRACKED_OPTIONS = (  # options for searches and TensorBoard's HPARAMS
    "down",
    "up",
    "loss",
    "filters",
    "depth",
    "dropout",
    "image_size",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "augment",
    "seed",
)
RESULT_TITLES = {  # rows of the printed table, by key in the results
    "test": "test, {test} images",
    "test_flip_averaged": "test, flip-averaged",
    "baseline_majority_class": "baseline: majority class",
    "baseline_positional_prior": "baseline: positional prior",
}


def train(config):
    """Train a UNet from a `UNetConfig`, or resume its run; export its best epoch.

    Returns:
        The content of results.json, with "test" and "validation" metrics; None on
        workers other than the chief.

    Raises:
        InputError: if data, options or run folder are invalid.

    Example:
        >>> results = train(UNetConfig(down="strided", up="upsample", loss="dice"))
        >>> results["test"]["mean_iou"]
    """
    return training.train(config, UNetTask)


class UNetTask(training.Task):
    monitor = "val_mean_iou"
    printed_metrics = {
        "loss": "loss",
        "val_loss": "validation loss",
        "val_accuracy": "validation accuracy",
        "val_mean_iou": "validation mean IoU",
    }
    plotted_metrics = {
        "loss": "loss",
        "accuracy": "pixel accuracy",
        "mean_iou": "mean IoU",
    }
    next_command = (
        "Use it:      python scripts/predict_unet.py --model {} IMAGE_OR_FOLDER"
    )

    data_options = (
        "data_dir",
        "images",
        "masks",
        "classes",
        "image_size",
        "split",
        "seed",
    )

    def __init__(self, config, reuse_data_from=None):
        super().__init__(config, reuse_data_from)
        self.data_identity, self.counts = self.data.file_names, self.data.counts
        self.shape = (config.image_size, config.image_size, 3)
        self.inputs = tf.TensorSpec((None, *self.shape), tf.float32, "image")

    def load(self):
        return data.load_data(self.config)

    @staticmethod
    def tracked_options(config):
        return {name: getattr(config, name) for name in TRACKED_OPTIONS}

    def build(self):
        names = self.data.class_names
        model = build(self.config, self.shape, len(names))
        compile_model(model, self.config, self.steps, names)
        return model

    def training_batches(self, epochs, replicas):
        return data.training_batches(self.data, self.config, epochs, replicas)

    def validation_batches(self, replicas):
        split = self.data.validation
        return data.evaluation_batches(split, self.config.batch_size, replicas)

    def images(self, model):
        images, masks, _ = (array[:EXAMPLES] for array in self.data.validation)
        colours = self.data.colours
        truth = report.overlay(images, masks[..., 0], colours)
        predicted = report.overlay(images, predict_ids(model, images), colours)
        side_by_side = np.concatenate([images, truth, predicted], axis=2)
        enlarged = side_by_side.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
        return {"image_truth_prediction": enlarged}

    def results(self, model, run):
        names, batch_size = self.data.class_names, self.config.batch_size
        images, masks, _ = self.data.test
        truth = masks[..., 0]
        predicted = predict_ids(model, images, batch_size)
        flip_averaged = predict_ids(model, images, batch_size, flip=True)
        report.draw_predictions(
            run.folder / "predictions.png",
            images[:EXAMPLES],
            masks[:EXAMPLES],
            {"prediction": predicted[:EXAMPLES]},
            names,
            self.data.colours,
        )
        return {
            "test": evaluation.metrics_of(truth, predicted, names),
            "test_flip_averaged": evaluation.metrics_of(truth, flip_averaged, names),
            **evaluation.baselines(self.data.train.masks[..., 0], truth, names),
        }

    def export(self, model):
        return export_unet(model, self.config, self.data)

    def summary(self, results):
        counts = results["images"]
        rows = {
            title.format(**counts): results[key] for key, title in RESULT_TITLES.items()
        }
        return report.table(rows, self.data.class_names)


def build(config, image_shape, classes):
    """Build the network that a `UNetConfig` describes, in the global precision."""
    return build_unet(
        image_shape,
        classes,
        config.filters,
        config.depth,
        choose("down", config.down, DOWN_BLOCKS),
        choose("up", config.up, UP_BLOCKS),
        config.dropout,
    )


def compile_model(model, config, steps, class_names):
    """Compile a UNet with the config's loss and schedule, metrics, and Muon."""
    decay = {"weight_decay": 0.01, "adam_weight_decay": 0.01}
    model.compile(
        ConvMuon(learning_rate(config, steps), **decay),
        choose("loss", config.loss, LOSSES)(),
        metrics=[SegmentationMetrics(class_names)],
    )


def export_unet(model, config, dataset):
    """Export a UNet in float32; see `train_tf.export`.

    Signatures: `serving_default` (image of any size -> probabilities, mask) and
    `encoded` (image_bytes, the content of image files -> the same at the network's
    size, and original_size: height and width after EXIF rotation).

    Args:
        dataset: the `unet_tf.data.SegmentationData` of its training.

    Returns:
        The folder of the SavedModel's version.
    """
    classes, size = len(dataset.class_names), config.image_size
    with devices.float32():
        served = build(config, (None, None, 3), classes)
    served.set_weights(model.get_weights())

    def segment(image):
        logits = served(within("image", image, 0, 1), training=False)
        probabilities = tf.nn.softmax(logits)
        mask = tf.cast(tf.argmax(probabilities, -1), tf.uint8)
        return {"probabilities": probabilities, "mask": mask}

    def prepare(contents):
        image = decode_image(contents)
        return data.resize_image(image, size), tf.shape(image)[:2]

    def segment_encoded(image_bytes):
        specs = (
            tf.TensorSpec((size, size, 3), tf.uint8),
            tf.TensorSpec((2,), tf.int32),
        )
        images, sizes = tf.map_fn(prepare, image_bytes, fn_output_signature=specs)
        return {**segment(tf.cast(images, tf.float32) / 255), "original_size": sizes}

    examples = dataset.test.images[:EXAMPLES]
    files = np.array([tf.io.encode_png(image).numpy() for image in examples], object)
    image = tf.TensorSpec((None, None, None, 3), tf.float32, "image")
    contents = tf.TensorSpec((None,), tf.string, "image_bytes")
    folder, _ = export(
        config.saved_model_folder,
        {
            "serving_default": Signature(
                segment, {"image": image}, [examples.astype("float32") / 255]
            ),
            "encoded": Signature(segment_encoded, {"image_bytes": contents}, [files]),
        },
        {
            "kind": "UNet",
            "image_size": size,
            "class_names": dataset.class_names,
            "colours": dataset.colours,
        },
    )
    return folder


def predict_ids(model, images, batch_size=16, flip=False):
    """Predict class ids, (count, height, width), for uint8 images of the model's size.

    With `flip`, probabilities are averaged with those of the flipped images.
    """
    ids = np.empty(images.shape[:-1], "uint8")
    for start in range(0, len(images), batch_size):  # all logits may not fit in memory
        rows = slice(start, start + batch_size)
        batch = images[rows].astype("float32") / 255
        scores = model.predict(batch, batch_size, verbose=0)
        if flip:
            flipped = model.predict(batch[:, :, ::-1], batch_size, verbose=0)
            both = keras.ops.softmax(scores) + keras.ops.softmax(flipped[:, :, ::-1])
            scores = keras.ops.convert_to_numpy(both)
        ids[rows] = scores.argmax(-1)
    return ids
