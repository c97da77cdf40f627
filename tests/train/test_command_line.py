"""User errors are printed as one line, with exit status 2."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import pytest
import tyro

from train_tf import command_line
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Do a thing."""

    size: int = 3
    """How large."""

    place: Path = Path("here")
    """Where."""


def run(monkeypatch, function, *arguments):
    monkeypatch.setattr(sys, "argv", ["thing", *arguments])
    return command_line.run(Config, function)


def test_function_gets_the_config_and_gives_the_status(monkeypatch):
    got = []
    assert run(monkeypatch, got.append, "--size", "5") == 0
    assert got == [Config(size=5)]
    assert run(monkeypatch, lambda _: 1) == 1


def test_error_to_mend_is_a_sentence(monkeypatch, capsys):
    def reject(_):
        raise InputError("Expected a, received b")

    assert run(monkeypatch, reject) == 2
    assert capsys.readouterr().err == "error: Expected a, received b\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, lambda _: 1 / 0)


def test_debug_shows_the_traceback_of_a_reported_error(monkeypatch, capsys):
    def fail(_):
        raise OSError("a bug of our own")

    assert run(monkeypatch, fail) == 2
    assert "a bug of our own (--debug shows where)" in capsys.readouterr().err
    with pytest.raises(OSError, match="a bug of our own"):
        run(monkeypatch, fail, "--debug")


def test_debug_of_a_command_that_is_launched_is_left_to_it(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Launch:
        command: tyro.conf.Positional[tuple[str, ...]]

    arguments = ["launch", "--", "train", "--debug"]
    monkeypatch.setattr(sys, "argv", arguments)
    configs = []
    assert command_line.run(Launch, configs.append) == 0
    assert configs[0].command == ("train", "--debug")


def test_interrupt_ends_with_its_own_status(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    assert run(monkeypatch, interrupt) == 130
    assert "stopped" in capsys.readouterr().err


def test_config_becomes_plain_values():
    assert command_line.to_dict(Config()) == {"size": 3, "place": "here"}


@dataclasses.dataclass(frozen=True)
class FromFile:
    """Do a thing, as a file says."""

    size: int = 3
    """How large."""

    loud: bool = True
    """How."""

    colour: Literal["red", "green"] = "red"
    """Which."""

    place: Path | None = None
    """Where."""

    config: Path | None = None
    """The file."""


def run_from_file(monkeypatch, content, *arguments):
    Path("options.json").write_text(content)
    arguments = ["thing", "--config", "options.json", *arguments]
    monkeypatch.setattr(sys, "argv", arguments)
    got = []
    return command_line.run(FromFile, got.append), got


def test_options_come_from_a_file_and_the_command_line_stands_above(monkeypatch):
    content = '{"size": 5, "loud": false, "colour": "green", "place": null}'
    status, (config,) = run_from_file(monkeypatch, content, "--size", "7")
    assert status == 0
    assert config == FromFile(7, False, "green", None, Path("options.json"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"size": 5, "weight": 1}', "Received: weight"),
        ('{"colour": "blue"}', "blue"),
        ('{"size": "large"}', "large"),
        ("[1, 2]", "JSON object"),
        ("{", "Expected JSON"),
    ],
)
def test_options_of_a_file_that_are_not_in_order_are_named(
    content, said, monkeypatch, capsys
):
    status, got = run_from_file(monkeypatch, content)
    errors = capsys.readouterr().err
    assert status == 2 and not got
    assert said in errors and "options.json" in errors.splitlines()[-1]
    assert not errors.rstrip().endswith("2")


@pytest.mark.parametrize(
    "word", [["--config", "options.json"], ["--config=options.json"]]
)
@pytest.mark.parametrize("of_file, given", [("images", "masks"), ("masks", "images")])
def test_options_that_need_each_other_may_come_from_both(
    of_file, given, word, monkeypatch, capsys
):
    Path("options.json").write_text(f'{{"{of_file}": "folder"}}')

    @dataclasses.dataclass(frozen=True)
    class Both:
        images: str | None = None
        masks: str | None = None
        config: Path | None = None

        def __post_init__(self):
            if bool(self.masks) != bool(self.images):
                raise InputError("Expected --images and --masks together.")

    monkeypatch.setattr(sys, "argv", ["thing", *word, f"--{given}", "folder"])
    got = []
    assert command_line.run(Both, got.append) == 0
    assert (got[0].images, got[0].masks) == ("folder", "folder")
    monkeypatch.setattr(sys, "argv", ["thing", *word])
    assert command_line.run(Both, got.append) == 2
    assert "--images and --masks together" in capsys.readouterr().err


def test_file_of_options_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["thing", "--config", "none.json"])
    assert command_line.run(FromFile, print) == 2
    assert "none.json" in capsys.readouterr().err


def test_silence_hides_what_is_printed(capsys):
    with command_line.silent():
        print("hidden")
    print("shown")
    assert capsys.readouterr().out == "shown\n"
