"""Options: each is there once, agrees with what it names, and refuses nonsense."""

import ast
import dataclasses
import inspect
import typing

import pytest

from train_tf.config import RunConfig
from train_tf.errors import InputError
from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS
from unet_tf.config import SPACE, TuneUNetConfig, UNetConfig, UNetOptions
from unet_tf.losses import LOSSES


@pytest.mark.parametrize(
    ("option", "names"), [("down", DOWN_BLOCKS), ("up", UP_BLOCKS), ("loss", LOSSES)]
)
def test_allowed_values_are_the_names_there_are(option, names):
    allowed = typing.get_type_hints(UNetConfig)[option]
    assert typing.get_args(allowed) == tuple(names)


@pytest.mark.parametrize(
    "wrong",
    [
        {"filters": 0},
        {"depth": 0},
        {"dropout": 1.0},
        {"dropout": float("nan")},
        {"image_size": 8, "depth": 4},
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"patience": -1},
        {"seed": -1},
        {"seed": 2**31},
        {"classes": 1, "images": ".", "masks": "."},
    ],
    ids=str,
)
def test_number_out_of_range_is_refused_with_the_range(wrong):
    name, value = next(iter(wrong.items()))
    option = name.replace("_", "-")
    with pytest.raises(InputError, match=f"--{option} from .* to .*Received: {value}"):
        UNetConfig(**wrong)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "/tmp/x"])
def test_name_that_would_leave_the_folder_is_refused(name):
    with pytest.raises(InputError, match="--name"):
        UNetConfig(name=name)


def test_network_too_wide_for_any_machine_is_refused():
    with pytest.raises(InputError, match="1024 x 2.8"):
        UNetConfig(filters=1024, depth=8, image_size=256)


def test_split_of_the_pets_is_not_for_own_photographs():
    with pytest.raises(InputError, match="--split"):
        UNetConfig(split="article", images="x", masks="y")


@pytest.mark.parametrize("wrong", [{"images": "x"}, {"masks": "x"}, {"classes": 3}])
def test_options_that_need_each_other_are_asked_for_together(wrong):
    with pytest.raises(InputError, match="--images"):
        UNetConfig(**wrong)


def test_run_is_named_by_its_blocks_and_loss():
    assert (
        UNetConfig("maxpool", "transpose", "bce").name == "unet_maxpool_transpose_bce"
    )


def test_run_on_own_photographs_is_named_by_their_folder():
    named = UNetConfig(images="at/home/cats", masks="m").name
    assert named == "unet_cats_maxpool_transpose_dice"
    assert UNetConfig(images="cats", masks="m", name="mine").name == "mine"


@pytest.mark.parametrize("options", [RunConfig, UNetOptions])
def test_every_option_has_a_meaning(options):
    body = ast.parse(inspect.getsource(options)).body[0].body
    described = [
        field.target.id
        for field, text in zip(body, body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    ]
    assert described == [field.name for field in dataclasses.fields(options)]


def test_every_option_is_of_the_run_or_of_the_unet():
    names = [field.name for field in dataclasses.fields(UNetConfig)]
    both = [*dataclasses.fields(UNetOptions), *dataclasses.fields(RunConfig)]
    assert names == [field.name for field in both]


def test_search_chooses_from_values_that_a_training_takes():
    assert TuneUNetConfig().tune == tuple(SPACE)
    for name, values in SPACE.items():
        assert getattr(UNetConfig(), name) in values or name == "learning_rate"
        for value in values:
            assert getattr(UNetConfig(**{name: value}), name) == value


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"tune": ()}], ids=str)
def test_search_of_nothing_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"--{name}.*Received"):
        TuneUNetConfig(**wrong)
