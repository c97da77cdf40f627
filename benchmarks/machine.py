"""What a machine can do at the most, and how much a network asks of it."""

import time


def multiplications(model):
    """Multiplications of one image through the convolutions and dense layers of a
    functional Keras model whose sizes are known; biases and norms are not counted, nor
    are savings by a clever order."""
    import keras

    from unet_tf.layers import UpsampleConvolution

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            _, height, width, _ = layer.input.shape
        elif isinstance(layer, keras.layers.Conv2D | UpsampleConvolution):
            _, height, width, _ = layer.output.shape
        elif isinstance(layer, keras.layers.Dense):
            height = width = 1
        else:
            continue
        total += layer.kernel.shape.num_elements() * height * width
    return int(total)


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
