"""Keras finds a package's classes once the package is imported."""

import importlib.util
import pkgutil
import sys

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

    own = [name for each in PACKAGES for name in _module_names(each)]

    def register(imported):
        # One of our modules may be what imports Keras. It is not complete then, and
        # others may need it: wait for the hook that runs when it is.
        others = (sys.modules.get(name) for name in own)
        if "keras" in sys.modules and not any(
            getattr(getattr(module, "__spec__", None), "_initializing", False)
            for module in others
            if module is not imported
        ):
            for module in modules:
                importlib.import_module(f"{package}.{module}")

    for name in ("keras", *own):
        wrapt.when_imported(name)(register)


def _module_names(package, path=None):
    path = path or importlib.util.find_spec(package).submodule_search_locations
    for module in pkgutil.iter_modules(path, f"{package}."):
        yield module.name
        if module.ispkg:
            folder = f"{module.module_finder.path}/{module.name.rpartition('.')[2]}"
            yield from _module_names(module.name, [folder])
