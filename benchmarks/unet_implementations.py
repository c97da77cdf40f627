"""The implementations that bench_unet.py compares."""

import os
import sys
from pathlib import Path


def start_keras(name, task):
    """Time this project's UNet, with cross-entropy and AdamW or with Dice and Muon, or
    the article's network."""
    from train_tf import command_line

    command_line.start_tensorflow()
    import keras
    import numpy as np
    from interleaved import step_of

    from train_tf import devices
    from train_tf.macs import macs
    from unet_tf.config import UNetConfig
    from unet_tf.losses import LOSSES
    from unet_tf.training import build, compile_model

    devices.set_up(task["precision"], 0)
    if name == "article":
        sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))
        from article_unet import build_article_unet

        model = build_article_unet(task["filters"], 3)
        model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    else:
        config = UNetConfig(task["down"], task["up"], filters=task["filters"])
        model = build(config, (128, 128, 3), 3)
        if name == "ours":
            model.compile(keras.optimizers.AdamW(1e-3), LOSSES["ce"]())
        else:
            compile_model(model, config, 100, ("pet", "background", "outline"))
    rng = np.random.default_rng(0)
    images = rng.random((task["batch_size"], 128, 128, 3), "float32")
    masks = rng.integers(0, 3, (task["batch_size"], 128, 128, 1), "uint8")
    if name == "ours" and task["precision"] == "float32":
        weights = [weight.numpy() for layer in model.layers for weight in layer.weights]
        logits = model(images[:1]).numpy()
        np.savez(task["weights"], *weights, image=images[0], logits=logits[0])
    return step_of(model, images, masks), {"macs": macs(model)}


def start_torch(name, task):
    import torch
    from torch_unet import UNet

    torch.manual_seed(0)
    model = UNet(task["down"], task["up"], task["filters"])
    model.to(memory_format=torch.channels_last)
    if os.path.exists(task["weights"]):
        _check_same(model, task["weights"])
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loss_of = torch.nn.CrossEntropyLoss()
    run = torch.compile(model) if name == "torch compile" else model
    images = torch.rand(task["batch_size"], 3, 128, 128)
    images = images.to(memory_format=torch.channels_last)
    masks = torch.randint(0, 3, (task["batch_size"], 128, 128))
    mixed = task["precision"] == "bfloat16"

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = loss_of(run(images).float(), masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step, {}


def _check_same(model, file):
    """Give the model the weights of ours, and check that the logits are the same."""
    import numpy as np
    import torch
    from torch_unet import set_weights

    with np.load(file) as saved:
        count = sum(name.startswith("arr_") for name in saved)
        set_weights(model, [saved[f"arr_{number}"] for number in range(count)])
        image, expected = torch.from_numpy(saved["image"]), saved["logits"]
    with torch.no_grad():
        flipped = image.permute(2, 0, 1)[None].flip(2, 3)
        logits = model.eval()(flipped).flip(2, 3)[0].permute(1, 2, 0).numpy()
    if not np.allclose(logits, expected, rtol=1e-3, atol=1e-3):
        raise RuntimeError("The two networks differ under the same weights.")


IMPLEMENTATIONS = {
    "ours": start_keras,
    "ours, Dice and Muon": start_keras,
    "article": start_keras,
    "torch eager": start_torch,
    "torch compile": start_torch,
}
