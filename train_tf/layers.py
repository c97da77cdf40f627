"""Layers of Keras that TensorFlow computes faster in one operation."""

import keras


@keras.saving.register_keras_serializable("train_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's, with the same weights and results, but for rounding.

    Keras adds it up from a dozen operations, in float32, each of which goes through all
    features; that is a quarter of a UNet's training step on a processor. TensorFlow's
    one operation for features, (batch, height, width, channels), takes the place of
    them, unless statistics are those of several replicas.
    """

    def call(self, inputs, training=None, mask=None):
        of_batch = training and self.trainable
        if (
            keras.backend.backend() != "tensorflow"
            or len(inputs.shape) != 4
            or self.axis not in (-1, 3)
            or mask is not None
            or self.renorm
            or self.gamma is None
            or self.beta is None
            or (of_batch and self.synchronized)
        ):
            return super().call(inputs, training, mask)
        import tensorflow as tf

        none = tf.zeros((0,))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=none if of_batch else self.moving_mean,
            variance=none if of_batch else self.moving_variance,
            epsilon=self.epsilon,
            is_training=bool(of_batch),
        )
        if of_batch:
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            # It is of a sample there, count - 1, and of the batch itself in Keras.
            variance *= tf.maximum(count - 1, 1) / count
            for moving, new in (
                (self.moving_mean, mean),
                (self.moving_variance, variance),
            ):
                moving.assign(self.momentum * moving + (1 - self.momentum) * new)
        return outputs
