"""The peak speed of this machine, to compare a training's speed with."""

import timeit


def peaks_of(precisions):
    """Precision to peak MACs per second, where the processor supports the precision."""
    from train_tf.devices import has_bfloat16

    supported = {"float32", "bfloat16"} if has_bfloat16() else {"float32"}
    return {x: peak(x) for x in precisions if x in supported}


def peak(precision="float32"):
    """MACs per second of a large matrix product or convolution, whichever is faster.

    Args:
        precision: "float32" or "bfloat16".
    """
    import tensorflow as tf

    side, batch, channels = 2048, 8, 128
    matrix = tf.cast(tf.random.normal((side, side)), precision)
    images = tf.cast(tf.random.normal((batch, 64, 64, channels)), precision)
    kernel = tf.cast(tf.random.normal((3, 3, channels, channels)), precision)
    work = {
        side**3: tf.function(lambda: tf.matmul(matrix, matrix)),
        batch * 64 * 64 * 9 * channels**2: tf.function(
            lambda: tf.nn.conv2d(images, kernel, 1, "SAME")
        ),
    }
    return max(macs / _seconds(function) for macs, function in work.items())


def _seconds(function):
    function()  # compiles
    return min(timeit.repeat(lambda: function().numpy(), number=1, repeat=10))
