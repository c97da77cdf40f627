"""A conditional VAE whose label is obeyed."""
