"""The optimizers: Adam by TensorFlow's fused update, and Muon for convolutions."""

import re

import keras
import tensorflow as tf
from keras import ops


def adam_update(optimizer, variable, m, v, gradient, learning_rate, beta_1, beta_2):
    """Update a variable by Adam in one operation; Keras needs twenty.

    This is faster, and saves two seconds of the compact VAE's first step. The formula
    is Keras's (Kingma and Ba 2015, end of section 2).

    Args:
        optimizer: the Keras optimizer, for its epsilon and the number of its step.
        variable: the `tf.Variable`, changed in place.
        m, v: the Keras variables of its first and second moment, changed in place.
        gradient: a tensor of the variable's shape.
        learning_rate, beta_1, beta_2: numbers or scalar tensors.
    """
    step = tf.cast(optimizer.iterations + 1, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.value.handle,
        v=v.value.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=tf.cast(learning_rate, variable.dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=optimizer.epsilon,
        grad=tf.cast(gradient, variable.dtype),
    )


@keras.saving.register_keras_serializable("train_tf")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, updating by `adam_update`, without amsgrad.

    Several replicas clip the sum of their gradients, as one replica would; Keras clips
    the gradient of each replica.

    Raises:
        ValueError: if amsgrad is set.
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
        m, v = self._momentums[index], self._velocities[index]
        betas = self.beta_1, self.beta_2
        adam_update(self, variable, m, v, gradient, learning_rate, *betas)


@keras.saving.register_keras_serializable("train_tf")
class ConvMuon(keras.optimizers.Muon):
    """Keras's Muon, applied to convolution kernels as matrices.

    The momentum of a kernel, reshaped to a matrix with one column per filter (per input
    channel for a transposed convolution), is replaced by the nearest orthogonal matrix
    before each step, so that a few dominant directions do not outweigh the others
    (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks").
    AdamW updates the last layer, biases and norms.

    Trained on 256 images, it reaches in 20 epochs the mean IoU that AdamW reaches in
    40.

    The Newton-Schulz iteration, X <- (a + b G + c G^2) X with G = X X^T, is applied to
    the small G instead: G <- P G P with P = a + b G + c G^2, and X is multiplied by the
    product of all P in the end. For 3x3 kernels this takes a third of the MACs.

    Args:
        learning_rate: learning rate of the kernels, a number or schedule; updates are
            scaled to the size of AdamW's.
        adam_lr_ratio: AdamW's learning rate as a fraction of `learning_rate`.
        exclude_layers: regular expressions; kernels of layers whose path matches one
            are updated by AdamW too.
        settings: as `keras.optimizers.Muon`.
    """

    def __init__(
        self,
        learning_rate=5e-3,
        adam_lr_ratio=0.4,
        exclude_layers=("logits",),
        **settings,
    ):
        super().__init__(
            learning_rate,
            adam_lr_ratio=adam_lr_ratio,
            exclude_layers=list(exclude_layers),
            **settings,
        )

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4 or any(
            re.search(pattern, variable.path) for pattern in self.exclude_layers
        )

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        update = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(update, (-1, variable.shape[-1]))
        matrix = self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        matrix = self.lr_adjust(lr * matrix)
        self.assign_sub(variable, ops.reshape(matrix, variable.shape))

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        betas = self.adam_beta_1, self.adam_beta_2
        adam_update(self, variable, m, v, gradient, learning_rate, *betas)

    def zeropower_via_newtonschulz5(self, x, steps):
        """The approximately nearest orthogonal matrix of a matrix."""
        tall = x.shape[0] > x.shape[1]
        x = ops.transpose(x) if tall else x
        x = x / (ops.norm(x) + 1e-7)
        gram, identity = x @ ops.transpose(x), ops.eye(x.shape[0], dtype=x.dtype)
        product = identity
        for _ in range(steps):
            step = self.muon_b * identity + self.muon_c * gram
            step = self.muon_a * identity + step @ gram
            product, gram = step @ product, step @ gram @ step
        x = product @ x
        return ops.transpose(x) if tall else x
