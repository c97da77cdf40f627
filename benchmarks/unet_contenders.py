"""What bench_unet.py compares: programs that train a UNet when they are told to."""

import json
import os
import sys


def serve_keras(name, task):
    """Ours with either loss and optimizer, or the article's network."""
    from train_tf import command_line

    command_line.start_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf
    from article_unet import build_article_unet
    from interleaved import serve, steps_of

    from train_tf import devices
    from train_tf.macs import macs
    from unet_tf.config import UNetConfig
    from unet_tf.losses import LOSSES
    from unet_tf.training import build, compile_model

    devices.set_up(task["precision"], 0, "one")
    config = UNetConfig(task["down"], task["up"], filters=task["filters"])
    if name == "article":
        model = build_article_unet(task["filters"], 3)
        model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    else:
        model = build(config, (128, 128, 3), 3)
        if name == "ours":
            model.compile(keras.optimizers.AdamW(1e-3), LOSSES["ce"]())
        else:
            compile_model(model, config, 100, ("pet", "background", "outline"))
    lot = np.random.default_rng(0)
    images = lot.random((task["batch_size"], 128, 128, 3), "float32")
    masks = lot.integers(0, 3, (task["batch_size"], 128, 128, 1), "uint8")
    if name == "ours" and task["precision"] == "float32":
        weights = [weight.numpy() for layer in model.layers for weight in layer.weights]
        answer = model(images[:1]).numpy()
        np.savez(task["weights"], *weights, image=images[0], logits=answer[0])
    batches = tf.data.Dataset.from_tensors((images, masks)).cache().repeat()

    train = steps_of(model, batches)

    serve(train, macs=macs(model))


def serve_torch(name, task):
    import numpy as np
    import torch
    from interleaved import serve
    from torch_unet import UNet, take_weights

    torch.manual_seed(0)
    model = UNet(task["down"], task["up"], task["filters"]).to(
        memory_format=torch.channels_last
    )
    if os.path.exists(task["weights"]):
        with np.load(task["weights"]) as kept:
            names = sorted(
                (x for x in kept if x.startswith("arr_")), key=lambda x: int(x[4:])
            )
            take_weights(model, [kept[name] for name in names])
            image, expected = torch.from_numpy(kept["image"]), kept["logits"]
        with torch.no_grad():
            mirrored = image.permute(2, 0, 1)[None].flip(2, 3)
            answer = model.eval()(mirrored).flip(2, 3)[0].permute(1, 2, 0).numpy()
        if not np.allclose(answer, expected, rtol=1e-3, atol=1e-3):
            raise RuntimeError("The networks differ")
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loss_of = torch.nn.CrossEntropyLoss()
    run = torch.compile(model) if name == "torch compile" else model
    images = torch.rand(task["batch_size"], 3, 128, 128)
    images = images.to(memory_format=torch.channels_last)
    masks = torch.randint(0, 3, (task["batch_size"], 128, 128))
    low = task["precision"] == "bfloat16"

    def train(steps):
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                loss = loss_of(run(images).float(), masks)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()

    serve(train)


if __name__ == "__main__":
    name = sys.argv[1]
    serve = serve_torch if name.startswith("torch") else serve_keras
    serve(name, json.loads(sys.argv[2]))
