"""The reference notebook's architecture in PyTorch, with a label embedding of ten rows.

It has the same weights as `--network resnet18 --no-decoder-label`.
"""

import math
import re

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A residual block that keeps the size, halves it, or resizes to `size`.

    Submodules have the names of the Keras layers.
    """

    def __init__(self, inputs, outputs, stride=1, size=None):
        super().__init__()
        self.size = size
        middle = inputs if size else outputs
        self.a = nn.Conv2d(inputs, middle, 3, stride, 1, bias=False)
        self.a_norm = nn.BatchNorm2d(middle, eps=1e-3)
        self.b = nn.Conv2d(middle, outputs, 3, 1, 1, bias=False)
        self.b_norm = nn.BatchNorm2d(outputs, eps=1e-3)
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        residual = F.relu(self.a_norm(self.a(x)))
        if self.size and tuple(x.shape[2:]) != self.size:
            residual = F.interpolate(residual, self.size, mode="nearest-exact")
            x = F.interpolate(x, self.size, mode="nearest-exact")
        residual = self.b_norm(self.b(residual))
        if hasattr(self, "shortcut"):
            x = self.shortcut_norm(self.shortcut(x))
        return F.relu(x + residual)


class Encoder(nn.Module):
    """Images, labels -> mean and log variance of the latents."""

    def __init__(self, image_shape, classes=10, latents=256):
        super().__init__()
        self.size, channels = image_shape[:2], image_shape[2]
        self.label_embedding = nn.Embedding(classes, math.prod(self.size))
        self.stem = nn.Conv2d(channels + 1, 64, 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(64, eps=1e-3)
        self.blocks, inputs = nn.Sequential(), 64
        for stage, filters in enumerate((64, 128, 256, 512)):
            for block in range(2):
                stride = 2 if stage and not block else 1
                name = f"stage_{stage + 1}_{block + 1}"
                self.blocks.add_module(name, Block(inputs, filters, stride))
                inputs = filters
        self.mean = nn.Linear(512, latents)
        self.log_var = nn.Linear(512, latents)

    def forward(self, images, labels):
        channel = self.label_embedding(labels).view(-1, 1, *self.size)
        x = torch.cat([images, channel], 1)
        x = F.relu(self.stem_norm(self.stem(x)))
        x = self.blocks(x).mean((2, 3))
        return self.mean(x), self.log_var(x)


class Decoder(nn.Module):
    """Latents -> images, unbounded."""

    def __init__(self, image_shape, latents=256):
        super().__init__()
        height, width, channels = image_shape
        self.dense = nn.Linear(latents, 4 * 4 * 512)
        self.first = (-(-height // 8), -(-width // 8))
        self.blocks, inputs = nn.Sequential(), 512
        stages = ((256, 4), (128, 2), (64, 1), (64, 1))
        for stage, (filters, shrunk) in enumerate(stages):
            size = (-(-height // shrunk), -(-width // shrunk))
            for block in range(2):
                name = f"stage_{stage + 1}_{block + 1}"
                self.blocks.add_module(name, Block(inputs, filters, size=size))
                inputs = filters
        self.pixels = nn.Conv2d(64, channels, 3, 1, 1, bias=False)

    def forward(self, latents):
        x = self.dense(latents).view(-1, 4, 4, 512).permute(0, 3, 1, 2)
        x = F.interpolate(x, self.first, mode="nearest-exact")
        return self.pixels(self.blocks(x))


class ReferenceVAE(nn.Module):
    """One learned log scale for all pixels, and a rate estimated from one sample."""

    def __init__(self, image_shape):
        super().__init__()
        self.encoder, self.decoder = Encoder(image_shape), Decoder(image_shape)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, images, labels):
        """The negative ELBO of each image in nats, (batch,)."""
        mean, log_var = self.encoder(images, labels)
        scale = torch.exp(log_var / 2)
        latents = mean + scale * torch.randn_like(mean)
        posterior = torch.distributions.Normal(mean, scale)
        prior = torch.distributions.Normal(0.0, 1.0)
        rate = posterior.log_prob(latents) - prior.log_prob(latents)
        likelihood = torch.distributions.Normal(
            self.decoder(latents), torch.exp(self.log_scale)
        )
        distortion = -likelihood.log_prob(images).sum((1, 2, 3))
        return distortion + rate.sum(1)


def set_weights(module, weights):
    """Give a network the weights of the Keras network with the same layer names.

    Args:
        module: an `Encoder` or a `Decoder`.
        weights: dict, path such as "stage_1_1_a/kernel" -> array.

    Raises:
        ValueError: if weights are missing.
    """
    torch_names = {
        "kernel": "weight",
        "embeddings": "weight",
        "gamma": "weight",
        "beta": "bias",
        "bias": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    state = module.state_dict()
    missing = {name for name in state if not name.endswith("num_batches_tracked")}
    for path, array in weights.items():
        layer, weight = path.split("/")[-2:]
        # "stage_1_1_a_norm" -> "blocks.stage_1_1.a_norm"
        layer = re.sub(r"(stage_\d_\d)_", r"blocks.\1.", layer)
        array = torch.from_numpy(array.copy())
        if weight == "kernel":
            array = array.permute(3, 2, 0, 1) if array.ndim == 4 else array.T
        name = f"{layer}.{torch_names[weight]}"
        state[name].copy_(array)
        missing.remove(name)
    if missing:
        raise ValueError(f"Expected weights of {sorted(missing)}. Received none.")
