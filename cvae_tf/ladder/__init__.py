"""`compact`, a hierarchical VAE (`LadderCVAE`): networks, losses, model."""
