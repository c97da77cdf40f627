"""A command: what a person can mend is said in a sentence, with exit status 2."""

import dataclasses
import sys
from pathlib import Path

import pytest

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
    def refuse(_):
        raise InputError("Expected a, received b")

    assert run(monkeypatch, refuse) == 2
    assert capsys.readouterr().err == "error: Expected a, received b\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, lambda _: 1 / 0)


def test_interrupt_ends_with_its_own_status(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    assert run(monkeypatch, interrupt) == 130
    assert "stopped" in capsys.readouterr().err


def test_config_becomes_plain_values():
    assert command_line.to_dict(Config()) == {"size": 3, "place": "here"}
