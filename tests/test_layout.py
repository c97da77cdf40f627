"""Import rules: modules import only from lower levels."""

import ast
import importlib
import subprocess
import sys
import zipfile

import pytest
from tiny import ROOT

# Each may import those on the lines below it and on its own line.
LEVELS = (
    ("scripts", "experiments", "benchmarks"),
    ("serve_tf",),
    ("unet_tf", "cvae_tf"),
    ("train_tf",),
)
# Within train_tf; "" is the files at its top.
TRAIN_TF_LEVELS = (("search",), ("run",), ("distributed", "data"), ("",))
PACKAGES = ("unet_tf", "cvae_tf", "train_tf", "serve_tf")
KERAS_ALONE = (
    *("unet_tf.blocks", "unet_tf.layers", "unet_tf.losses", "unet_tf.masks"),
    *("unet_tf.metrics", "unet_tf.model"),
    *("cvae_tf.layers", "cvae_tf.networks", "cvae_tf.likelihoods"),
    *("cvae_tf.ladder.networks",),
)
FILES = sorted(
    path.relative_to(ROOT)
    for level in LEVELS
    for folder in level
    for path in (ROOT / folder).rglob("*.py")
)
MODULES = {
    ".".join(file.with_suffix("").parts): file
    for file in FILES
    if file.parts[0] in PACKAGES
}


def imported_by(file):
    tree = ast.parse((ROOT / file).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


def packages_imported_by(file):
    return {module.split(".")[0] for module in imported_by(file)}


def level_of(name, levels):
    return next((n for n, level in enumerate(levels) if name in level), None)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_packages_import_only_downwards(file):
    level = level_of(file.parts[0], LEVELS)
    for package in packages_imported_by(file) - {file.parts[0]}:
        imported = level_of(package, LEVELS)
        assert imported is None or imported > level, package
    assert "tests" not in packages_imported_by(file)


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parts[0] == "train_tf"], ids=str
)
def test_levels_of_train_tf_import_only_downwards(file):
    def subfolder_of(parts):
        is_in_subfolder = len(parts) > 2 or parts[-1] in sum(TRAIN_TF_LEVELS, ())
        return parts[1] if is_in_subfolder else ""

    folder = file.parts[1] if len(file.parts) > 2 else ""
    for module in imported_by(file):
        parts = module.split(".")
        if parts[0] == "train_tf" and len(parts) > 1:
            imported = subfolder_of(parts)
            is_below = level_of(imported, TRAIN_TF_LEVELS) > level_of(
                folder, TRAIN_TF_LEVELS
            )
            is_peer = {imported, folder} == {"data", "distributed"}
            assert is_below or is_peer or imported == folder, module


def test_no_module_imports_itself_by_way_of_others():
    imports = {
        name: {x for x in imported_by(file) if x in MODULES}
        for name, file in MODULES.items()
        if file.name != "__init__.py"
    }
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in imports.get(name, ()):
                visit(other, [*path, name])
            done.add(name)

    for name in imports:
        visit(name, [])


@pytest.mark.parametrize("name", KERAS_ALONE)
def test_networks_and_losses_import_keras_alone(name):
    # FusedBatchNormalization is Keras's layer, computed faster.
    imported = set(imported_by(MODULES[name])) - {"train_tf.layers"}
    libraries = {module.split(".")[0] for module in imported} - sys.stdlib_module_names
    package = name.split(".")[0]
    assert libraries <= {"keras", package}
    assert {x for x in imported if x.startswith(package)} <= set(KERAS_ALONE)


@pytest.mark.parametrize("file", [f for f in FILES if f.stem == "config"], ids=str)
def test_config_imports_nothing_slow(file):
    slow = {"keras", "tensorflow", "numpy", "matplotlib", "PIL", "tensorflow_datasets"}
    assert not packages_imported_by(file) & slow
    inside = {name for name in imported_by(file) if name.startswith("train_tf")}
    light = {"train_tf.config", "train_tf.errors", "train_tf.data.datasets"}
    assert inside <= light


@pytest.mark.parametrize("package", ["unet_tf", "cvae_tf"])
def test_public_name_is_not_a_module(package):
    """Python would give the module instead, once it is imported."""
    modules = {file.stem for file in FILES if file.parts[:-1] == (package,)}
    assert not modules & set(importlib.import_module(package).__all__)


@pytest.mark.parametrize("package", ["unet_tf", "cvae_tf"])
def test_import_of_a_package_is_free_of_keras(package):
    code = f"import sys, {package}; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("file", FILES, ids=str)
def test_untrusted_models_run_no_code(file):
    """No loading that can run code, except from a process that the project starts."""
    code = (ROOT / file).read_text()
    unsafe_words = ("safe_mode", "enable_unsafe_deserialization")
    unsafe_words += ("Lambda(", "allow_pickle")
    assert not [word for word in unsafe_words if word in code]
    own_process = {"serve_tf/session.py", "serve_tf/saved_model_process.py"}
    unsafe = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
    if str(file) not in own_process:
        assert not packages_imported_by(file) & unsafe


@pytest.mark.slow
def test_wheel_has_every_module_and_all_can_be_imported(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    clone = tmp_path / "clone"
    tracked = ["git", "-C", ROOT, "checkout-index", "--all", f"--prefix={clone}/"]
    subprocess.run(tracked, check=True)
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", wheels, clone]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("*.whl")
    names = {
        name.removesuffix(".py").replace("/", ".")
        for name in zipfile.ZipFile(wheel).namelist()
        if name.endswith(".py")
    }
    assert names == set(MODULES)
    install = [*pip, "install", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import importlib\n"
        f"for name in {sorted(names)!r}:\n"
        "    module = importlib.import_module(name.removesuffix('.__init__'))\n"
        f"    assert module.__file__.startswith({str(site)!r}), module.__file__\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True)
