"""The default VAE: its networks, its loss and its model."""
