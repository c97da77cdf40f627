"""The ladder, the default VAE: networks, losses, model."""
