"""Adam by TensorFlow's own fused update."""

import keras
import tensorflow as tf


def adam_update(variable, m, v, gradient, learning_rate, step, beta_1, beta_2, epsilon):
    """Update a variable by Adam, in one operation where Keras needs twenty.

    That is quicker, and saves two seconds of the compact VAE's first step. The formula
    is Keras's (Kingma and Ba 2015, the order that ends section 2).

    Args:
        variable: the `tf.Variable`, changed in place.
        m, v: the Keras variables of its first and second moment, changed in place.
        gradient: a tensor of its shape.
        learning_rate, beta_1, beta_2, epsilon: the optimizer's.
        step: number of this step, counted from 1.
    """
    step = tf.cast(step, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.value.handle,
        v=v.value.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=tf.cast(learning_rate, variable.dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=tf.cast(gradient, variable.dtype),
    )


@keras.saving.register_keras_serializable("train_tf")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, updating by `adam_update`, which has no amsgrad.

    Of several replicas the sum of the gradients is clipped, as one replica's would be;
    Keras clips what each of them adds.

    Raises:
        ValueError: if amsgrad is asked for.
    """

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        if self.amsgrad:
            raise ValueError("Expected no amsgrad; keras.optimizers.Adam has it.")

    def _clip_gradients(self, gradients):
        return gradients

    def _all_reduce_sum_gradients(self, gradients_and_variables):
        pairs = super()._all_reduce_sum_gradients(gradients_and_variables)
        gradients, variables = zip(*pairs, strict=True)
        return list(zip(super()._clip_gradients(gradients), variables, strict=True))

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        adam_update(
            variable,
            self._momentums[index],
            self._velocities[index],
            gradient,
            learning_rate,
            self.iterations + 1,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )
