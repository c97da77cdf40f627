"""Which module may import which: the way through the house has no circles."""

import ast
import importlib
import sys

import pytest
from tiny import ROOT

KERAS_ALONE = {
    "unet_tf": ("blocks", "layers", "losses", "masks", "metrics", "model"),
    "cvae_tf": ("layers", "networks", "likelihoods"),
}
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("train_tf", "unet_tf", "cvae_tf", "serve_tf", "scripts")
    for path in (ROOT / folder).glob("*.py")
)


def imported_by(file):
    tree = ast.parse((ROOT / file).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports relatively"
            yield node.module


def packages_imported_by(file):
    return {module.split(".")[0] for module in imported_by(file)}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_packages_import_only_downwards(file):
    above = {
        "scripts": set(),
        "serve_tf": set(),
        "unet_tf": {"serve_tf", "cvae_tf"},
        "cvae_tf": {"serve_tf", "unet_tf"},
        "train_tf": {"serve_tf", "unet_tf", "cvae_tf"},
    }
    refused = {"scripts", "tests", "benchmarks"} | above[file.parts[0]]
    assert not packages_imported_by(file) & refused


@pytest.mark.parametrize(
    ("package", "name"), [(x, name) for x in KERAS_ALONE for name in KERAS_ALONE[x]]
)
def test_networks_and_losses_import_keras_alone(package, name):
    imported = set(imported_by(f"{package}/{name}.py"))
    imported -= {"train_tf.layers"}  # Keras's, but faster
    libraries = {module.split(".")[0] for module in imported} - sys.stdlib_module_names
    assert libraries <= {"keras", package}
    own = {module.split(".")[1] for module in imported if package in module}
    assert own <= set(KERAS_ALONE[package])


@pytest.mark.parametrize("file", [f for f in FILES if f.stem == "config"], ids=str)
def test_config_imports_nothing_slow(file):
    slow = {"keras", "tensorflow", "numpy", "matplotlib", "PIL", "tensorflow_datasets"}
    assert not packages_imported_by(file) & slow
    own = {name for name in imported_by(file) if name.startswith("train_tf")}
    assert own <= {"train_tf.config", "train_tf.errors"}


@pytest.mark.parametrize("package", ["unet_tf", "cvae_tf"])
def test_public_name_is_no_module_s(package):
    """Python would give the module instead, once it is imported."""
    modules = {file.stem for file in FILES if file.parts[0] == package}
    assert not modules & set(importlib.import_module(package).__all__)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_models_from_strangers_run_no_code(file):
    """No way of loading that runs what a file says, but between own processes."""
    code = (ROOT / file).read_text()
    refused = {"safe_mode", "enable_unsafe_deserialization", "Lambda(", "allow_pickle"}
    assert not [word for word in refused if word in code]
    own_pipe = {"serve_tf/session.py", "serve_tf/server.py"}
    unsafe = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
    if str(file) not in own_pipe:
        assert not packages_imported_by(file) & unsafe
