"""Conditional VAEs: networks, likelihoods, training, relabelling.

Names are loaded on first use, so `import cvae_tf` does not import Keras.
"""

import importlib

from train_tf.registration import register_on_keras_import

_MODULES = {
    "build_cvae": "build",
    "CVAE": "model",
    "LadderCVAE": "ladder.model",
    "LossWeights": "ladder.losses",
    "LIKELIHOODS": "likelihoods",
    "Bernoulli": "likelihoods",
    "DiscretizedLogistic": "likelihoods",
    "Gaussian": "likelihoods",
    "NETWORKS": "networks",
    "compact": "networks",
    "plain": "networks",
    "resnet18": "networks",
    "CVAEConfig": "config",
    "train": "training",
    "Relabeller": "relabel",
}
__all__ = list(_MODULES)

register_on_keras_import("cvae_tf", ("layers", "likelihoods", "model", "ladder.model"))
register_on_keras_import("train_tf", ("layers", "optimizers", "schedule"))


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module 'cvae_tf' has no attribute '{name}'")
    return getattr(importlib.import_module(f"cvae_tf.{_MODULES[name]}"), name)
