"""Register the classes of a package with Keras when the package is imported."""

import importlib
import sys
from pathlib import Path

import wrapt

PACKAGES = ("unet_tf", "cvae_tf", "train_tf")


def register_on_keras_import(package, modules):
    """Import a package's modules of registered classes as soon as Keras is imported.

    `import package` itself does not import Keras, which takes seconds, and yet
    `keras.models.load_model` finds the package's classes afterwards.

    Args:
        package: its name.
        modules: names of its modules that register classes, without the package's.
    """
    root = Path(__file__).parents[1]
    files = (file for name in PACKAGES for file in (root / name).rglob("*.py"))
    ours = [".".join(file.relative_to(root).with_suffix("").parts) for file in files]

    def register(imported):
        # If one of our modules is still being imported, wait: the hook runs again when
        # that import is complete.
        others = (sys.modules.get(name) for name in ours)
        if "keras" in sys.modules and not any(
            getattr(getattr(module, "__spec__", None), "_initializing", False)
            for module in others
            if module is not imported
        ):
            for module in modules:
                importlib.import_module(f"{package}.{module}")

    for name in ("keras", *ours):
        wrapt.when_imported(name)(register)
