"""The options of every run: their ranges, and the folder they name."""

import dataclasses
from pathlib import Path

import pytest

from train_tf.config import OPTION_RANGES, RunConfig
from train_tf.errors import InputError


@pytest.mark.parametrize("name", OPTION_RANGES)
def test_bounds_are_allowed_and_what_is_beyond_is_rejected(name):
    least, most = OPTION_RANGES[name]
    for value in (least, most):
        dataclasses.replace(RunConfig(name="x"), **{name: value}).check()
    for value in (least - 1, most + 1):
        config = dataclasses.replace(RunConfig(name="x"), **{name: value})
        with pytest.raises(InputError, match=f"from {least} to .*{most}"):
            config.check()


def test_limits_of_the_model_are_checked_too_unless_left_out():
    @dataclasses.dataclass(frozen=True)
    class Config(RunConfig):
        size: int | None = None

    Config(name="x").check(size=(1, 2))
    with pytest.raises(InputError, match="--size from 1 to 2. Received: 3"):
        Config(name="x", size=3).check(size=(1, 2))


def test_run_folder_is_named_by_the_run():
    config = RunConfig(name="mine", runs_dir=Path("there"))
    assert config.run_folder == Path("there/mine")
