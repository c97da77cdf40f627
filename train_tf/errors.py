"""Errors that a command reports as one message, without a traceback."""


class InputError(ValueError):
    """Something that the user can fix: states what was expected and received."""


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt, no `except Exception` catches it."""


class WorkerLost(RuntimeError):
    """Another worker is gone; restart all workers with --resume."""
