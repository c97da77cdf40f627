"""What a SavedModel refuses by itself, inside its graph, with a message."""

import tensorflow as tf


def only_if(condition, *message):
    """A context in which nothing is computed before a condition is known to hold.

    Args:
        condition: a boolean tensor, a scalar.
        message: texts and tensors, what the refusal says.

    Raises:
        tf.errors.InvalidArgumentError: if it does not hold; in a graph, when it runs.
    """
    refusal = tf.debugging.Assert(condition, message)
    # Outside of a graph the assertion has raised by now, or it is None.
    return tf.control_dependencies([] if refusal is None else [refusal])


def within(name, values, lowest=tf.float32.min, highest=tf.float32.max):
    """An input of a signature, refused inside the graph where it is out of range.

    Args:
        name: of the input, for the message.
        values: a float tensor; NaN is in no range.
        lowest, highest: the range.

    Returns:
        The values.
    """
    fits = tf.reduce_all((values >= lowest) & (values <= highest))
    expected = f"Expected {name} from {lowest:g} to {highest:g}. Received:"
    received = (tf.reduce_min(values), "to", tf.reduce_max(values))
    with only_if(fits, expected, *received):
        return tf.identity(values)
