"""A command: options from a dataclass, one function called, errors in a sentence."""

import argparse
import contextlib
import dataclasses
import inspect
import io
import os
import signal
import sys
from pathlib import Path

from train_tf.errors import InputError, Terminated, WorkerLost
from train_tf.files import read_json

TRY_AGAIN = 75  # the exit status EX_TEMPFAIL of sysexits.h


def run(config_class, function, tensorflow=True):
    """Parse the command line into a config and call `function` with it.

    Args:
        config_class: a dataclass whose fields are the options.
        function: takes the config; returns the exit status, or None for 0. It shall
            import what is slow by itself, so that `--help` answers at once.
        tensorflow: whether it needs TensorFlow, which is then started quietly.

    Returns:
        The exit status: 2 when a person has to mend something, 75 when another worker
        is gone and all can be started again, 130 or 143 when it was stopped by Ctrl-C
        or SIGTERM. All are told on stderr.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        config = _parse(config_class, sys.argv[1:])
        if tensorflow:
            start_tensorflow()
        return function(config) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except WorkerLost as error:
        print(f"error: {error}", file=sys.stderr)
        return TRY_AGAIN
    except OSError as error:  # a full disk, a folder that cannot be written
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C", file=sys.stderr)
        return 130
    except Terminated:
        print("\nstopped by SIGTERM", file=sys.stderr)
        return 143


def to_dict(config):
    """A config as plain values for JSON."""
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def start_tensorflow():
    """Import TensorFlow without the notes that its C++ side prints on starting.

    They come before any log level applies, call a missing GPU an error, and say nothing
    to the person who waits. What goes wrong in earnest is raised as an exception.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")  # pictures go to files, not to windows
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def silent():
    """Within it, what is printed is not shown; errors are."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _parse(config_class, arguments):
    """A config of what the command line says, and of the file that it names."""
    import tyro

    _describe_options(config_class)

    def parse(options):
        told = inspect.cleandoc(config_class.__doc__)
        return tyro.cli(config_class, description=told, args=options)

    naming = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    naming.add_argument("--config")
    file = naming.parse_known_args(arguments)[0].config
    if not file or "config" not in _names(config_class):
        return parse(arguments)
    options = read_json(file)
    of_file = _as_arguments(options, config_class, file)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            config = parse(of_file)
    except SystemExit:  # with those of the command line they may be in order
        try:
            return parse([*of_file, *arguments])
        except SystemExit as error:  # after telling which
            raise InputError(f"Not in order: the options in {file}.") from error
    asked_for = {x: y for x, y in options.items() if not _follows(config, x)}
    return parse([*_as_arguments(asked_for, config_class, file), *arguments])


def _follows(config, name):
    """Whether an option's value is the one that it would get if it were left out."""
    value = getattr(config, name)
    if getattr(type(config), name, None) is not None or value is None:
        return False
    try:
        return getattr(dataclasses.replace(config, **{name: None}), name) == value
    except InputError:
        return False


def _describe_options(config_class):
    """Give tyro each option's docstring in one paragraph: it breaks them where the
    source does."""
    from docstring_parser import parse_from_object

    told = {}
    for declared in reversed(config_class.__mro__[:-1]):
        for option in parse_from_object(declared).params:
            told[option.arg_name] = " ".join(option.description.split())
    for field in dataclasses.fields(config_class):
        field.metadata = {"help": told.get(field.name)}


def _as_arguments(options, config_class, file):
    """Options of a JSON file as a person would type them."""
    unknown = sorted(options.keys() - _names(config_class))
    if unknown:
        raise InputError(
            f"Expected options of this command in {file}. "
            f"Received: {', '.join(unknown)}"
        )
    arguments = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list):
            arguments += [option, *map(str, value)]
        elif value is not None:
            arguments.append(f"{option}={value}")
    return arguments


def _names(config_class):
    return {field.name for field in dataclasses.fields(config_class)}


def _terminate(*_):
    raise Terminated


def _plain(value):
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
