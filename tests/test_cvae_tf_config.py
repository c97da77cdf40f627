"""Options of the VAE: there once, agreeing with what they name, in their range."""

import ast
import dataclasses
import inspect
import typing

import pytest

from cvae_tf.config import (
    BALANCE,
    EPOCHS,
    SPACE,
    STEPS,
    SUITED,
    CVAEConfig,
    CVAEOptions,
    TuneCVAEConfig,
)
from cvae_tf.data import DATASETS
from cvae_tf.likelihoods import LIKELIHOODS
from cvae_tf.style import STYLES
from train_tf.config import RunConfig
from train_tf.errors import InputError


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("likelihood", LIKELIHOODS),
        ("dataset", DATASETS),
        ("dataset", STYLES),
        ("dataset", SUITED),
        ("dataset", BALANCE),
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
