"""Options of the VAE: there once, agreeing with what they name, in their range."""

import ast
import dataclasses
import inspect
import sys
import typing

import pytest

from cvae_tf import config
from cvae_tf.config import (
    EPOCHS,
    LOSS_WEIGHTS,
    SPACE,
    STEPS,
    SUITED,
    CVAEConfig,
    CVAEOptions,
    TuneCVAEConfig,
)
from cvae_tf.data import DATASETS
from cvae_tf.evaluation.style import STYLES
from cvae_tf.likelihoods import LIKELIHOODS
from train_tf import command_line
from train_tf.command_line import to_dict
from train_tf.config import RunConfig
from train_tf.errors import InputError
from train_tf.files import write_json


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("likelihood", LIKELIHOODS),
        ("dataset", DATASETS),
        ("dataset", STYLES),
        ("dataset", SUITED),
        ("dataset", LOSS_WEIGHTS),
        ("dataset", EPOCHS),
        ("network", STEPS),
    ],
)
def test_allowed_values_are_the_names_there_are(option, names):
    allowed = typing.get_type_hints(CVAEConfig)[option]
    assert typing.get_args(allowed) == tuple(names)


@pytest.mark.parametrize(
    "wrong",
    [{"latents": 0}, {"detail_latents": 0}, {"beta": -1.0}, {"beta": float("nan")}],
    ids=str,
)
def test_number_out_of_range_is_refused_with_the_range(wrong):
    ((name, value),) = wrong.items()
    option = name.replace("_", "-")
    with pytest.raises(InputError, match=f"--{option} from .* to .*Received: {value}"):
        CVAEConfig(**wrong)


def test_details_are_for_the_network_that_has_them():
    with pytest.raises(InputError, match="--detail-latents"):
        CVAEConfig(network="resnet18", detail_latents=2)


def test_sizes_are_what_suits_the_images_unless_asked_for():
    assert CVAEConfig(dataset="mnist").sizes == SUITED["mnist"]
    assert CVAEConfig(dataset="mnist", latents=5).sizes["latents"] == 5
    assert CVAEConfig(network="resnet18").sizes == {}
    assert CVAEConfig(network="resnet18", latents=9).sizes == {"latents": 9}


def test_every_option_has_a_meaning():
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


def test_search_chooses_from_values_that_a_training_takes():
    assert TuneCVAEConfig().tune == tuple(SPACE)
    for name, values in SPACE.items():
        for value in values:
            assert getattr(CVAEConfig(**{name: value}), name) == value


def test_search_is_for_what_it_can_change():
    with pytest.raises(InputError, match="A search is for --network compact"):
        TuneCVAEConfig(network="resnet18")
    with pytest.raises(InputError, match="--obedience only with a decoder"):
        CVAEConfig(decoder_label=False, obedience=3.0)
    with pytest.raises(
        InputError, match="Expected --width only with --network compact"
    ):
        CVAEConfig(network="resnet18", width=3)


def test_balance_takes_the_obedience_asked_for():
    assert CVAEConfig(obedience=7.0).balance == (1.0, 5.0, 7.0, 5.0)
    assert CVAEConfig(decoder_label=False).balance[2] == 0


def test_file_of_options_leaves_open_what_it_had_been_left_open(tmp_path, monkeypatch):
    write_json(tmp_path / "config.json", to_dict(CVAEConfig(obedience=7)))
    words = ["--dataset", "cifar10", "--network", "compact"]
    arguments = ["train_cvae.py", "--config", str(tmp_path / "config.json"), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    got = []
    assert command_line.run(CVAEConfig, got.append) == 0
    expected = CVAEConfig(dataset="cifar10", obedience=7)
    assert dataclasses.replace(got[0], config=None) == expected
    assert got[0].name == "cvae_cifar10_compact_gaussian" and got[0].epochs == 10


def test_help_says_what_options_are_when_they_are_left_out():
    told = inspect.getsource(config)
    for name, values in {
        "epochs": EPOCHS.values(),
        "batch_size": [batch for batch, _ in STEPS.values()],
        "learning_rate": [rate for _, rate in STEPS.values()],
        "latents": [sizes["latents"] for sizes in SUITED.values()],
        "detail_latents": [sizes["detail_latents"] for sizes in SUITED.values()],
        "width": [sizes["width"] for sizes in SUITED.values()],
        "label_accuracy": [balance[2] for balance in LOSS_WEIGHTS.values()],
    }.items():
        _, docstring, *_ = told.split(f"    {name}: ", 1)[1].split('"""', 2)
        for value in values:
            assert f"{value:.4f}".rstrip("0").rstrip(".") in docstring, name
