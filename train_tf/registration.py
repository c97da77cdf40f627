"""Keras finds a package's classes once the package is imported."""

import importlib
import sys

import wrapt


def register_on_keras_import(package, modules):
    """Import a package's modules of registered classes as soon as Keras is imported.

    `import package` itself stays free of Keras's seconds, and yet
    `keras.models.load_model` finds the package's classes afterwards.

    Args:
        package: its name.
        modules: names of its modules that register classes, without the package's.
    """
    names = [f"{package}.{module}" for module in modules]

    def register(loaded):
        # The import of Keras may come from one of these modules itself, which then is
        # not complete yet; the hook runs again when that one is.
        others = (sys.modules.get(name) for name in names if name != loaded.__name__)
        if "keras" in sys.modules and not any(map(_is_being_imported, others)):
            for name in names:
                importlib.import_module(name)

    for name in ("keras", *names):
        wrapt.when_imported(name)(register)


def _is_being_imported(module):
    return getattr(getattr(module, "__spec__", None), "_initializing", False)
