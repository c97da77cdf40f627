"""The one kind of error that a person can mend."""


class InputError(ValueError):
    """Says what was expected, what came, and where; shown without a traceback."""
