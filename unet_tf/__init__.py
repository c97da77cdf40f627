"""UNets for pictures of any size: blocks, losses, metrics, training, prediction.

Names are loaded when first used, so that `import unet_tf` costs nothing.
"""

import importlib

_PLACES = {
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
__all__ = list(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module 'unet_tf' has no attribute '{name}'")
    return getattr(importlib.import_module(f"unet_tf.{_PLACES[name]}"), name)
