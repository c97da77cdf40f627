"""UNets for semantic segmentation: blocks, losses, metrics, training, prediction.

Names are loaded on first use, so `import unet_tf` does not import Keras.
"""

import importlib

from train_tf.registration import register_on_keras_import

_MODULES = {
    "build_unet": "model",
    "DOWN_BLOCKS": "blocks",
    "UP_BLOCKS": "blocks",
    "LOSSES": "losses",
    "SegmentationMetrics": "metrics",
    "UNetConfig": "config",
    "train": "training",
    "Segmenter": "prediction",
    "predict": "prediction",
}
__all__ = list(_MODULES)

register_on_keras_import("train_tf", ("layers", "optimizers", "schedule"))
register_on_keras_import("unet_tf", ("layers", "losses", "metrics"))


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module 'unet_tf' has no attribute '{name}'")
    return getattr(importlib.import_module(f"unet_tf.{_MODULES[name]}"), name)
