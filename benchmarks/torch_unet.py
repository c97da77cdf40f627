"""The UNet of unet_tf in PyTorch, layer for layer."""

import torch
from torch import nn


class NormalizedReLU(nn.Sequential):
    """A convolution (no bias), then batch norm, then ReLU."""

    def __init__(self, convolution):
        channels = convolution.out_channels
        super().__init__(
            convolution, nn.BatchNorm2d(channels, eps=1e-3), nn.ReLU(inplace=True)
        )


def convolution(inputs, outputs, stride=1):
    return NormalizedReLU(nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False))


def pair(inputs, outputs):
    return nn.Sequential(convolution(inputs, outputs), convolution(outputs, outputs))


def transpose(inputs, outputs):
    return NormalizedReLU(
        nn.ConvTranspose2d(
            inputs, outputs, 3, 2, padding=1, output_padding=1, bias=False
        )
    )


DOWN = {
    "maxpool": lambda channels: nn.MaxPool2d(2),
    "strided": lambda channels: convolution(channels, channels, stride=2),
}
UP = {
    "transpose": transpose,
    "upsample": lambda inputs, outputs: nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"), convolution(inputs, outputs)
    ),
}


class UNet(nn.Module):
    """As `unet_tf.build_unet`, with channels first."""

    def __init__(self, down, up, filters=16, depth=4, classes=3):
        super().__init__()
        widths = [filters * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            nn.ModuleList([pair(inputs, outputs), DOWN[down](outputs)])
            for inputs, outputs in zip([3, *widths], widths[:-1], strict=False)
        )
        self.bottom = pair(widths[-2], widths[-1])
        self.decoder = nn.ModuleList(
            nn.ModuleList([UP[up](2 * width, width), pair(2 * width, width)])
            for width in reversed(widths[:-1])
        )
        self.logits = nn.Conv2d(filters, classes, 1)

    def forward(self, x):
        skips = []
        for encoder, down in self.encoder:
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for up, decoder in self.decoder:
            x = decoder(torch.cat([skips.pop(), up(x)], 1))
        return self.logits(x)


def set_weights(model, weights):
    """Give a `UNet` the weights of the Keras model, in the order of its layers.

    Kernels are flipped: for strides, Keras pads at the bottom right and PyTorch at the
    top left, so with flipped kernels one network is the other on flipped images.

    Args:
        weights: arrays; for each convolution its kernel and its norm's scale, offset,
            mean and variance; at the end kernel and bias of the logits.
    """
    weights = iter(torch.from_numpy(array.copy()) for array in weights)
    layers = [x for x in model.modules() if isinstance(x, NormalizedReLU)]
    with torch.no_grad():
        for convolution, norm, _ in layers:  # level by level, down and up
            kernel = next(weights)
            convolution.weight.copy_(kernel.permute(3, 2, 0, 1).flip(2, 3))
            for x in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                x.copy_(next(weights))
        model.logits.weight.copy_(next(weights).permute(3, 2, 0, 1))
        model.logits.bias.copy_(next(weights))
