"""Train a UNet from a config: data, network, run, report, SavedModel."""

import keras
import numpy as np
import tensorflow as tf

from train_tf import devices
from train_tf.assertions import within
from train_tf.data.image_ops import decode_image
from train_tf.export import Signature, export
from train_tf.optimizers import ConvMuon
from train_tf.run import task as training
from train_tf.schedule import learning_rate
from unet_tf import data, report
from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS
from unet_tf.losses import LOSSES
from unet_tf.metrics import SegmentationMetrics
from unet_tf.model import build_unet

SHOWN = 8  # validation photographs in TensorBoard, test photographs in predictions.png
ZOOM = 2  # of pictures in TensorBoard
COMPARED = (  # options that searches and TensorBoard's table of runs show
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


def train(config):
    """Train a UNet, or go on with its run, and export its best epoch.

    Args:
        config: a `UNetConfig`.

    Returns:
        The results, as in results.json: "test" and "validation" figures among them; of
        several workers only the chief has them.

    Raises:
        InputError: if the data, the options or the run folder are not in order.

    Example:
        >>> results = train(UNetConfig(down="strided", up="upsample", loss="dice"))
        >>> results["test"]["mean_iou"]
    """
    return training.train(config, UNetTask)


class UNetTask(training.Task):
    """A UNet and its photographs."""

    monitor = "val_mean_iou"
    shown = {
        "loss": "loss",
        "val_loss": "validation loss",
        "val_accuracy": "accuracy",
        "val_mean_iou": "mean IoU",
    }
    curves = {"loss": "loss", "accuracy": "pixel accuracy", "mean_iou": "mean IoU"}
    use = "Use it:      python scripts/predict_unet.py --model {} PHOTO_OR_FOLDER"

    data_options = (
        "data_dir",
        "images",
        "masks",
        "classes",
        "image_size",
        "split",
        "seed",
    )

    def __init__(self, config, like=None):
        super().__init__(config, like)
        self.split, self.counts = self.data.split, self.data.counts
        self.shape = (config.image_size, config.image_size, 3)
        self.inputs = tf.TensorSpec((None, *self.shape), tf.float32, "image")

    def load(self):
        return data.load_data(self.config)

    @staticmethod
    def tracked_options(config):
        return {name: getattr(config, name) for name in COMPARED}

    def build(self):
        names = self.data.class_names
        model = build(self.config, self.shape, len(names))
        compile_model(model, self.config, self.steps, names)
        return model

    def training_batches(self, epochs, replicas):
        return data.training_batches(self.data, self.config, epochs, replicas)

    def validation_batches(self, replicas):
        part = self.data.validation
        return data.evaluation_batches(part, self.config.batch_size, replicas)

    def pictures(self, model):
        photos, masks, _ = (array[:SHOWN] for array in self.data.validation)
        colours = self.data.colours
        truth = report.overlay(photos, masks[..., 0], colours)
        drawn = report.overlay(photos, predict_ids(model, photos), colours)
        side_by_side = np.concatenate([photos, truth, drawn], axis=2)
        enlarged = side_by_side.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
        return {"photograph, truth, prediction": enlarged}

    def results(self, model, run):
        photographs, names = self.data, self.data.class_names
        photos, truth = photographs.test.photos, photographs.test.masks[..., 0]
        size = self.config.batch_size
        predicted = predict_ids(model, photos, size)
        mirrored = predict_ids(model, photos, size, mirror=True)
        report.draw_predictions(
            run.folder / "predictions.png",
            photos[:SHOWN],
            photographs.test.masks[:SHOWN],
            {"prediction": predicted[:SHOWN]},
            names,
            photographs.colours,
        )
        return {
            "test": report.metrics_of(truth, predicted, names),
            "test_flip_averaged": report.metrics_of(truth, mirrored, names),
            **report.baselines(photographs.train.masks[..., 0], truth, names),
        }

    def export(self, model):
        return export_unet(model, self.config, self.data)

    def summary(self, results):
        rows = {f"test, {results['images']['test']} photographs": results["test"]}
        others = ("test_flip_averaged", *(x for x in results if x.startswith("floor")))
        rows |= {title: results[title] for title in others}
        return report.table(rows, self.data.class_names)


def build(config, image_shape, classes):
    """The network that a `UNetConfig` describes, in the global precision."""
    return build_unet(
        image_shape,
        classes,
        config.filters,
        config.depth,
        DOWN_BLOCKS[config.down],
        UP_BLOCKS[config.up],
        config.dropout,
    )


def compile_model(model, config, steps, class_names):
    """Give a UNet its loss, its metrics, and Muon with the config's schedule."""
    model.compile(
        ConvMuon(
            learning_rate(config, steps), weight_decay=0.01, adam_weight_decay=0.01
        ),
        LOSSES[config.loss](),
        metrics=[SegmentationMetrics(class_names)],
    )


def export_unet(model, config, photographs):
    """Export a UNet in float32; see `train_tf.export`.

    Its signatures: `serving_default` (image of any size -> probabilities, mask) and
    `encoded` (image_bytes, of picture files -> the same at the network's own size, and
    original_size, height and width as a person sees the picture).
    """
    classes, size = len(photographs.class_names), config.image_size
    with devices.float32():
        served = build(config, (None, None, 3), classes)
    served.set_weights(model.get_weights())

    def segment(image):
        logits = served(within("image", image, 0, 1), training=False)
        probabilities = tf.nn.softmax(logits)
        mask = tf.cast(tf.argmax(probabilities, -1), tf.uint8)
        return {"probabilities": probabilities, "mask": mask}

    def prepare(contents):
        photo = decode_image(contents)
        return data.resize_photo(photo, size), tf.shape(photo)[:2]

    def segment_encoded(image_bytes):
        specs = (
            tf.TensorSpec((size, size, 3), tf.uint8),
            tf.TensorSpec((2,), tf.int32),
        )
        photos, sizes = tf.map_fn(prepare, image_bytes, fn_output_signature=specs)
        image = tf.cast(photos, tf.float32) / 255
        return {**segment(image), "original_size": sizes}

    photos = photographs.test.photos[:SHOWN]
    files = np.array([tf.io.encode_png(photo).numpy() for photo in photos], object)
    image = tf.TensorSpec((None, None, None, 3), tf.float32, "image")
    contents = tf.TensorSpec((None,), tf.string, "image_bytes")
    place, _ = export(
        config.saved_models_dir / config.name,
        {
            "serving_default": Signature(
                segment, {"image": image}, [photos.astype("float32") / 255]
            ),
            "encoded": Signature(segment_encoded, {"image_bytes": contents}, [files]),
        },
        {
            "kind": "UNet",
            "image_size": size,
            "class_names": photographs.class_names,
            "colours": photographs.colours,
        },
    )
    return place


def predict_ids(model, photos, batch_size=16, mirror=False):
    """Class ids, (count, height, width), of uint8 photographs of the model's size.

    With `mirror`, of the probabilities averaged with those of the mirrored photographs.
    """
    ids = np.empty(photos.shape[:-1], "uint8")
    for start in range(0, len(photos), batch_size):  # scores of all may be too many
        rows = slice(start, start + batch_size)
        batch = photos[rows].astype("float32") / 255
        scores = model.predict(batch, batch_size, verbose=0)
        if mirror:
            mirrored = model.predict(batch[:, :, ::-1], batch_size, verbose=0)
            mirrored = mirrored[:, :, ::-1]
            both = keras.ops.softmax(scores) + keras.ops.softmax(mirrored)
            scores = keras.ops.convert_to_numpy(both)
        ids[rows] = scores.argmax(-1)
    return ids
