"""Conditional VAEs, and one whose label is obeyed.

Names are loaded when first used, so that `import cvae_tf` costs nothing.
"""

import importlib

_PLACES = {
    "CVAE": "model",
    "LadderCVAE": "ladder.model",
    "LIKELIHOODS": "likelihoods",
    "Bernoulli": "likelihoods",
    "DiscretizedLogistic": "likelihoods",
    "Gaussian": "likelihoods",
    "NETWORKS": "networks",
    "compact": "networks",
    "resnet18": "networks",
    "CVAEConfig": "config",
    "train": "training",
    "Relabeller": "relabel",
}
__all__ = list(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module 'cvae_tf' has no attribute '{name}'")
    return getattr(importlib.import_module(f"cvae_tf.{_PLACES[name]}"), name)
