"""A command: options from a dataclass, one function call, one-line error messages."""

import argparse
import contextlib
import dataclasses
import inspect
import os
import signal
import sys
from pathlib import Path

from train_tf.config import flag
from train_tf.errors import InputError, Terminated, WorkerLost
from train_tf.files import read_json

EX_TEMPFAIL = 75  # the exit status EX_TEMPFAIL of sysexits.h
DEBUG = "--debug"


def run(config_class, function, tensorflow=True):
    """Parse the command line into a config and call `function` with it.

    Args:
        config_class: a dataclass whose fields are the options.
        function: takes the config; returns the exit status, or None for 0. It must
            import slow modules itself, so that `--help` answers at once.
        tensorflow: whether to import TensorFlow first, without its start-up messages.

    Returns:
        The exit status: 2 for an error that the user can fix, 75 if another worker
        was lost and all can be started again, 130 or 143 after Ctrl-C or SIGTERM. The
        message goes to stderr; `--debug` adds the traceback.
    """
    signal.signal(signal.SIGTERM, _terminate)
    arguments = sys.argv[1:]
    options_end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = DEBUG in arguments[:options_end]
    if debug:
        arguments.remove(DEBUG)
    try:
        config = _parse(config_class, arguments)
        if tensorflow:
            start_tensorflow()
        return function(config) or 0
    except (InputError, WorkerLost, OSError, KeyboardInterrupt, Terminated) as error:
        if debug:
            raise
        message, status = _message_and_status(error)
    print(message, file=sys.stderr)
    return status


def to_dict(config):
    """A config as plain values for JSON."""
    return {
        field.name: _plain(getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def from_dict(config_class, options, file):
    """A config of the options in a JSON file.

    Raises:
        InputError: if they are not options of this config.
    """
    try:
        return config_class(**options)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Expected options of this command in {file}. {error}"
        ) from error


def start_tensorflow():
    """Import TensorFlow without the messages that its C++ side prints on starting.

    They come before any log level applies and call a missing GPU an error. Real
    failures are raised as exceptions.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures go to files, not to windows
    stderr = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def silent():
    """Discard what is printed to stdout."""
    with open(os.devnull, "w") as devnull, contextlib.redirect_stdout(devnull):
        yield


def _message_and_status(error):
    if isinstance(error, KeyboardInterrupt):
        return "\nstopped by Ctrl-C", 130
    if isinstance(error, Terminated):
        return "\nstopped by SIGTERM", 143
    if isinstance(error, OSError):  # a full disk, a folder that cannot be written
        return f"error: {error} ({DEBUG} shows where)", 2
    return f"error: {error}", EX_TEMPFAIL if isinstance(error, WorkerLost) else 2


def _parse(config_class, arguments):
    """Parse the options in the file that --config names, then the command line."""
    import tyro

    _set_help_texts(config_class)
    naming = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    naming.add_argument("--config")
    file = naming.parse_known_args(arguments)[0].config
    from_file = []
    if file and "config" in _names(config_class):
        from_file = _as_arguments(read_json(file), config_class, file)
    description = inspect.cleandoc(config_class.__doc__)
    description += f"\n\n{DEBUG} shows the traceback of an error."
    try:
        return tyro.cli(
            config_class, description=description, args=[*from_file, *arguments]
        )
    except SystemExit as error:
        if from_file and error.code:  # tyro has printed which option is wrong
            raise InputError(f"Expected valid options in {file}.") from error
        raise


def _set_help_texts(config_class):
    """Give tyro each option's docstring as one paragraph; it keeps line breaks."""
    from docstring_parser import parse_from_object

    texts = {}
    for base in reversed(config_class.__mro__[:-1]):
        for option in parse_from_object(base).params:
            texts[option.arg_name] = " ".join(option.description.split())
    for field in dataclasses.fields(config_class):
        field.metadata = {"help": texts.get(field.name)}


def _as_arguments(options, config_class, file):
    """Options of a JSON file as command-line arguments."""
    unknown = sorted(options.keys() - _names(config_class))
    if unknown:
        raise InputError(
            f"Expected options of this command in {file}. "
            f"Received: {', '.join(unknown)}"
        )
    arguments = []
    for name, value in options.items():
        if isinstance(value, bool):
            arguments.append(flag(name) if value else f"--no-{flag(name)[2:]}")
        elif isinstance(value, list):
            arguments += [flag(name), *map(str, value)]
        elif value is not None:
            arguments.append(f"{flag(name)}={value}")
    return arguments


def _names(config_class):
    return {field.name for field in dataclasses.fields(config_class)}


def _terminate(*_):
    raise Terminated


def _plain(value):
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
