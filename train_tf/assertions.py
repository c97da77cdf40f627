"""Input checks inside a graph: a SavedModel rejects invalid values with a message."""

import tensorflow as tf


def only_if(condition, *message):
    """A context whose operations run only after an assertion has passed.

    Args:
        condition: a boolean scalar tensor.
        message: strings and tensors of the error message.

    Raises:
        tf.errors.InvalidArgumentError: if the condition does not hold; in a graph, when
            it runs.
    """
    assertion = tf.debugging.Assert(condition, message)
    # Outside of a graph the assertion has raised by now, or it is None.
    return tf.control_dependencies([] if assertion is None else [assertion])


def within(name, values, lowest=tf.float32.min, highest=tf.float32.max):
    """Return the values, or raise if one is out of range or NaN.

    Args:
        name: of the input, for the message.
        values: a float tensor.
        lowest, highest: the range.

    Returns:
        The values.

    Raises:
        tf.errors.InvalidArgumentError: states the range expected and received.
    """
    fits = tf.reduce_all((values >= lowest) & (values <= highest))
    expected = f"Expected {name} from {lowest:g} to {highest:g}. Received:"
    received = (tf.reduce_min(values), "to", tf.reduce_max(values))
    with only_if(fits, expected, *received):
        return tf.identity(values)
