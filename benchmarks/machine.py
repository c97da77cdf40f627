"""What a machine can do at the most."""

import time


def peaks_of(precisions):
    """Precision to `most` of it; without those that the processor has no instructions
    for."""
    from train_tf.devices import is_good_at_bfloat16

    known = {"float32"} | ({"bfloat16"} if is_good_at_bfloat16() else set())
    return {
        precision: most(precision) for precision in precisions if precision in known
    }


def most(precision="float32"):
    """The most multiplications a second that are seen here.

    The better of a large matrix product and a large convolution.

    Args:
        precision: "float32" or "bfloat16".
    """
    import tensorflow as tf

    side, images, channels = 2048, 8, 128
    matrix = tf.cast(tf.random.normal((side, side)), precision)
    pictures = tf.cast(tf.random.normal((images, 64, 64, channels)), precision)
    kernel = tf.cast(tf.random.normal((3, 3, channels, channels)), precision)
    work = {
        side**3: tf.function(lambda: tf.matmul(matrix, matrix)),
        images * 64 * 64 * 9 * channels**2: tf.function(
            lambda: tf.nn.conv2d(pictures, kernel, 1, "SAME")
        ),
    }
    return max(count / _seconds(function) for count, function in work.items())


def _seconds(function, times=10):
    function()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        function().numpy()
        took.append(time.perf_counter() - start)
    return min(took)
