"""How well a VAE relabels images: evaluation classifier, style measures, scores."""
