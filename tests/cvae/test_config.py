"""Given options are stored; derived values are properties."""

import ast
import dataclasses
import inspect
import sys
import typing
from pathlib import Path

import pytest

from cvae_tf import config
from cvae_tf.config import (
    RESNET18_DEFAULTS,
    SEARCH_SPACE,
    TRAINING_DEFAULTS,
    CVAEConfig,
    CVAEOptions,
    TuneCVAEConfig,
)
from cvae_tf.ladder.losses import LossWeights
from cvae_tf.likelihoods import LIKELIHOODS
from cvae_tf.networks import NETWORKS
from train_tf import command_line
from train_tf.command_line import to_dict
from train_tf.config import RunConfig
from train_tf.data.datasets import DATASETS, labelled_datasets
from train_tf.errors import InputError
from train_tf.files import write_json

SPECS = {name: DATASETS[name].cvae for name in labelled_datasets()}


@pytest.mark.parametrize(
    ("option", "names"),
    [("likelihood", LIKELIHOODS), ("network", NETWORKS), ("dataset", SPECS)],
)
def test_choices_are_the_names_in_the_dicts(option, names):
    choices = typing.get_type_hints(CVAEConfig)[option]
    assert typing.get_args(choices) == tuple(names)


@pytest.mark.parametrize(
    "wrong",
    [
        {"latents": 0},
        {"detail_latents": 0},
        {"label_weight": -1.0},
        {"beta": -1.0},
        {"beta": float("nan")},
    ],
    ids=str,
)
def test_number_out_of_range_is_rejected_with_the_range(wrong):
    ((name, value),) = wrong.items()
    option = name.replace("_", "-")
    with pytest.raises(InputError, match=f"--{option} from .* to .*Received: {value}"):
        CVAEConfig(**wrong)


@pytest.mark.parametrize("network", ["plain", "resnet18"])
@pytest.mark.parametrize(
    "options", [{"detail_latents": 2}, {"width": 3}, {"label_weight": 1.0}], ids=str
)
def test_options_of_the_compact_network_are_rejected_with_others(network, options):
    (name,) = options
    option = name.replace("_", "-")
    message = f"Expected --{option} only with --network compact.*--network {network}"
    with pytest.raises(InputError, match=message):
        CVAEConfig(network=network, **options)


def test_label_weight_needs_a_decoder_with_label():
    with pytest.raises(InputError, match="--label-weight only with a decoder"):
        CVAEConfig(decoder_label=False, label_weight=3.0)


@pytest.mark.parametrize("dataset", SPECS)
def test_defaults_follow_from_data_set_and_network(dataset):
    spec, compact = SPECS[dataset], CVAEConfig(dataset=dataset).resolve()
    for name in ("latents", "detail_latents", "width", "epochs"):
        assert getattr(compact, name) == getattr(spec, name)
    assert compact.label_weight == spec.loss_weights["label"]
    assert (compact.batch_size, compact.learning_rate) == (100, 2e-3)
    resnet = CVAEConfig(dataset=dataset, network="resnet18").resolve()
    assert (resnet.batch_size, resnet.learning_rate) == (32, 1e-4)
    assert (resnet.latents, resnet.epochs) == (256, spec.epochs)
    plain = CVAEConfig(dataset=dataset, network="plain").resolve()
    assert (plain.batch_size, plain.latents) == (100, 64)
    for one_level in (resnet, plain):
        assert (one_level.detail_latents, one_level.label_weight) == (None, None)
    assert CVAEConfig(dataset=dataset, latents=5).resolve().latents == 5


def test_replaced_options_change_all_that_follows_from_them():
    mnist = CVAEConfig()
    cifar10 = dataclasses.replace(mnist, dataset="cifar10")
    assert cifar10 == CVAEConfig(dataset="cifar10")
    assert mnist.run_name == "cvae_mnist_compact_gaussian"
    assert cifar10.run_name == "cvae_cifar10_compact_gaussian"
    assert cifar10.run_folder == Path("runs/cvae_cifar10_compact_gaussian")
    resolved = cifar10.resolve()
    assert (resolved.epochs, resolved.latents, resolved.label_weight) == (10, 24, 100)
    blind = dataclasses.replace(mnist, decoder_label=False)
    assert blind.run_name == "cvae_mnist_compact_gaussian_no_decoder_label"
    assert dataclasses.replace(TuneCVAEConfig(), dataset="cifar10").run_name == (
        "tune_cvae_cifar10"
    )
    assert dataclasses.replace(mnist, name="mine", dataset="cifar10").run_name == "mine"


def test_strings_are_accepted_as_paths():
    strings = CVAEConfig(runs_dir="r", saved_models_dir="s", name="n")
    assert strings.run_folder == Path("r/n")
    assert strings.saved_model_folder == Path("s/n")


def test_every_option_has_a_description():
    body = ast.parse(inspect.getsource(CVAEOptions)).body[0].body
    described = [
        field.target.id
        for field, text in zip(body, body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    ]
    assert described == [field.name for field in dataclasses.fields(CVAEOptions)]
    names = [field.name for field in dataclasses.fields(CVAEConfig)]
    run = [field.name for field in dataclasses.fields(RunConfig)]
    assert names == described + run


def test_search_space_has_values_that_a_training_accepts():
    assert TuneCVAEConfig().tune == tuple(SEARCH_SPACE)
    for name, values in SEARCH_SPACE.items():
        for value in values:
            assert getattr(CVAEConfig(**{name: value}), name) == value


def test_search_is_for_the_options_that_it_can_change():
    with pytest.raises(InputError, match="A search is for --network compact"):
        TuneCVAEConfig(network="resnet18")
    with pytest.raises(InputError, match="--no-decoder-label"):
        TuneCVAEConfig(decoder_label=False)


def test_loss_weights_are_by_name_and_take_the_label_weight():
    weights = CVAEConfig(label_weight=7.0).loss_weights
    assert weights == {"coarse": 1, "adversarial": 5, "label": 7, "cycle": 5}
    assert CVAEConfig().loss_weights["label"] == 5
    blind = CVAEConfig(decoder_label=False).loss_weights
    assert blind == {"coarse": 1, "adversarial": 0, "label": 0, "cycle": 0}
    fields = [field.name for field in dataclasses.fields(LossWeights)]
    for spec in SPECS.values():
        assert list(spec.loss_weights) == fields


def test_file_of_options_keeps_open_what_was_not_asked(tmp_path, monkeypatch):
    write_json(tmp_path / "config.json", to_dict(CVAEConfig(label_weight=7)))
    words = ["--dataset", "cifar10", "--network", "compact"]
    arguments = ["train_cvae.py", "--config", str(tmp_path / "config.json"), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    parsed = []
    assert command_line.run(CVAEConfig, parsed.append) == 0
    expected = CVAEConfig(dataset="cifar10", label_weight=7)
    assert dataclasses.replace(parsed[0], config=None) == expected
    assert parsed[0].run_name == "cvae_cifar10_compact_gaussian"
    assert parsed[0].resolve().epochs == 10


def test_help_gives_the_defaults_that_follow_from_other_options():
    source = inspect.getsource(config)
    recipes = [TRAINING_DEFAULTS, RESNET18_DEFAULTS]
    for name, values in {
        "epochs": [spec.epochs for spec in SPECS.values()],
        "batch_size": [recipe["batch_size"] for recipe in recipes],
        "learning_rate": [recipe["learning_rate"] for recipe in recipes],
        "latents": [spec.latents for spec in SPECS.values()]
        + [recipe["latents"] for recipe in recipes],
        "detail_latents": [spec.detail_latents for spec in SPECS.values()],
        "width": [spec.width for spec in SPECS.values()],
        "label_weight": [spec.loss_weights["label"] for spec in SPECS.values()],
    }.items():
        option = source.index(f"    {name}: ", source.index("class CVAEOptions"))
        _, docstring, *_ = source[option:].split('"""', 2)
        for value in values:
            assert f"{value:.4f}".rstrip("0").rstrip(".") in docstring, name
