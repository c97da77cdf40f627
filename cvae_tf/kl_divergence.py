"""The KL divergence of diagonal Gaussians, the rate of a VAE, in closed form."""

from keras import ops


def normal_kl(mean, log_var, prior_mean=0.0, prior_log_var=0.0):
    """KL divergence of diagonal Gaussians, summed over all axes but the batch.

    KL(q || p) = 1/2 sum [ (v_q + (m_q - m_p)^2) / v_p - 1 + log v_p - log v_q ]

    Args:
        mean, log_var: parameters of q, (batch, ...).
        prior_mean, prior_log_var: parameters of p, the same shape or broadcast to it.

    Returns:
        (batch,), nats.
    """
    terms = normal_kl_terms(mean, log_var, prior_mean, prior_log_var)
    return ops.sum(ops.reshape(terms, (ops.shape(terms)[0], -1)), axis=-1)


def normal_kl_terms(mean, log_var, prior_mean=0.0, prior_log_var=0.0):
    """The terms of `normal_kl`: nats per latent, in the shape of `mean`."""
    mean, log_var, prior_mean, prior_log_var = (
        ops.cast(x, "float32") for x in (mean, log_var, prior_mean, prior_log_var)
    )
    distance = ops.square(mean - prior_mean) + ops.exp(log_var)
    return 0.5 * (distance * ops.exp(-prior_log_var) - 1 + prior_log_var - log_var)
