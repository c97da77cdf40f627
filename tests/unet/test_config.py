"""Options: each is written once, and wrong values are rejected."""

import ast
import dataclasses
import importlib.util
import inspect
import sys
import typing

import keras
import pytest

import unet_tf.config
from train_tf import command_line
from train_tf.config import RunConfig
from train_tf.errors import InputError
from unet_tf.blocks import DOWN_BLOCKS, UP_BLOCKS
from unet_tf.config import SEARCH_SPACE, TuneUNetConfig, UNetConfig, UNetOptions
from unet_tf.losses import LOSSES, Dice
from unet_tf.training import build, compile_model


@pytest.mark.parametrize(
    ("option", "names"), [("down", DOWN_BLOCKS), ("up", UP_BLOCKS), ("loss", LOSSES)]
)
def test_choices_are_the_keys_of_the_dicts(option, names):
    choices = typing.get_type_hints(UNetConfig)[option]
    assert typing.get_args(choices) == tuple(names) == SEARCH_SPACE[option]


def average_down(x, name):
    return keras.layers.AveragePooling2D(2, name=f"{name}_average")(x)


def resize_up(x, filters, name):
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_resize")(x)
    return keras.layers.Conv2D(filters, 1, name=f"{name}_conv")(x)


class HalfDice(Dice):
    def loss_per_image(self, targets, logits, valid):
        return super().loss_per_image(targets, logits, valid) / 2


@pytest.mark.parametrize(
    ("option", "table", "name", "added", "trace"),
    [
        ("down", DOWN_BLOCKS, "average", average_down, "down0_average"),
        ("up", UP_BLOCKS, "bilinear", resize_up, "up0_resize"),
        ("loss", LOSSES, "half_dice", HalfDice, None),
    ],
)
def test_block_or_loss_is_added_by_one_entry(
    option, table, name, added, trace, monkeypatch
):
    monkeypatch.setitem(table, name, added)
    spec = importlib.util.spec_from_file_location("added", unet_tf.config.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "added", module)
    spec.loader.exec_module(module)  # as a new process imports it
    options = [f"--{option}", name, "--filters=2", "--depth=1", "--image-size=8"]
    config = command_line._parse(module.UNetConfig, options)
    assert name in module.SEARCH_SPACE[option] and name in config.run_name
    model = build(config, (8, 8, 3), 2)
    compile_model(model, config, 1, ("a", "b"))
    if trace:
        assert model.get_layer(trace)
    else:
        assert isinstance(model.loss, added)


@pytest.mark.parametrize("option", ["down", "up", "loss"])
def test_unknown_choice_in_python_is_rejected_with_the_choices(option):
    config = UNetConfig(**{option: "banana"})
    with pytest.raises(InputError, match=f"--{option} to be one of .*banana"):
        model = build(config, (16, 16, 3), 2)
        compile_model(model, config, 1, ("a", "b"))


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
def test_number_out_of_range_is_rejected_with_the_range(wrong):
    name, value = next(iter(wrong.items()))
    option = name.replace("_", "-")
    with pytest.raises(InputError, match=f"--{option} from .* to .*Received: {value}"):
        UNetConfig(**wrong)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "/tmp/x"])
def test_name_that_would_leave_its_folder_is_rejected(name):
    with pytest.raises(InputError, match="--name"):
        UNetConfig(name=name)


def test_network_too_wide_for_any_machine_is_rejected():
    with pytest.raises(InputError, match="1024 x 2.8"):
        UNetConfig(filters=1024, depth=8, image_size=256)


def test_split_of_the_pets_is_not_for_own_images():
    with pytest.raises(InputError, match="--split"):
        UNetConfig(split="article", images="x", masks="y")


@pytest.mark.parametrize("wrong", [{"images": "x"}, {"masks": "x"}, {"classes": 3}])
def test_options_that_need_each_other_are_required_together(wrong):
    with pytest.raises(InputError, match="--images"):
        UNetConfig(**wrong)


def test_run_is_named_by_its_blocks_and_loss():
    config = UNetConfig("maxpool", "transpose", "bce")
    assert config.name is None
    assert config.run_name == "unet_maxpool_transpose_bce"


def test_run_on_own_images_is_named_by_their_folder():
    config = UNetConfig(images="at/home/cats", masks="m")
    assert config.run_name == "unet_cats_maxpool_transpose_dice"
    assert dataclasses.replace(config, name="mine").run_name == "mine"


def test_name_follows_options_that_are_replaced():
    # It stayed that of the first config: a BCE model landed in the folder of Dice.
    replaced = dataclasses.replace(UNetConfig(), loss="bce")
    assert replaced.run_name == "unet_maxpool_transpose_bce"
    assert replaced.run_folder.name == replaced.saved_model_folder.name
    assert replaced == UNetConfig(loss="bce")
    searched = dataclasses.replace(TuneUNetConfig(), loss="bce")
    assert searched.run_name == "tune_unet"


@pytest.mark.parametrize("options", [RunConfig, UNetOptions])
def test_every_option_has_a_help_text(options):
    body = ast.parse(inspect.getsource(options)).body[0].body
    described = [
        field.target.id
        for field, text in zip(body, body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    ]
    assert described == [field.name for field in dataclasses.fields(options)]


def test_every_option_belongs_to_the_run_or_the_unet():
    names = [field.name for field in dataclasses.fields(UNetConfig)]
    both = [*dataclasses.fields(UNetOptions), *dataclasses.fields(RunConfig)]
    assert names == [field.name for field in both]


def test_search_space_holds_valid_values_and_the_defaults():
    assert TuneUNetConfig().tune == tuple(SEARCH_SPACE)
    for name, values in SEARCH_SPACE.items():
        assert getattr(UNetConfig(), name) in values or name == "learning_rate"
        for value in values:
            assert getattr(UNetConfig(**{name: value}), name) == value


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"tune": ()}], ids=str)
def test_search_over_nothing_is_rejected(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"--{name}.*Received"):
        TuneUNetConfig(**wrong)
