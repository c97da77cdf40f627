"""The errors that are told in a sentence."""


class InputError(ValueError):
    """Says what was expected, what came, and where; shown without a traceback."""


class Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt, no handler of errors shall catch it."""


class WorkerLost(RuntimeError):
    """Says which of several workers is gone; started again, the run can go on."""
