"""What bench_cvae.py compares: programs that train a VAE when they are told to."""

import json
import os
import sys
import time

from cvae_tf.config import SEED

LOOKS = 1000  # held-out images that the figure is of


def serve_ours(name, task):
    """Train on one repeated batch of noise."""
    import numpy as np
    import tensorflow as tf
    from interleaved import serve, steps_of

    from cvae_tf.training import parameters_of
    from train_tf.macs import macs

    model, config, shape = _ours(name, task)
    lot = np.random.default_rng(0)
    images = lot.random((config.batch_size, *shape), "float32")
    labels = lot.integers(0, 10, config.batch_size).astype("int32")
    batches = tf.data.Dataset.from_tensors((images, labels)).cache().repeat()
    if name == "ours resnet18" and task["precision"] == "float32":
        _keep(model, images[:2], labels[:2], task["weights"])

    train = steps_of(model, batches)

    networks = [model.encoder, model.decoder]
    serve(
        train,
        batch_size=config.batch_size,
        parameters=parameters_of(model),
        macs=sum(map(macs, networks)),
    )


def _ours(name, task):
    from train_tf import command_line

    command_line.start_tensorflow()
    from cvae_tf.config import CVAEConfig
    from cvae_tf.training import CLIP, build
    from train_tf import devices
    from train_tf.optimizers import FusedAdam

    devices.set_up(task["precision"], 0, "one")
    settings = {"dataset": task["dataset"]}
    if name == "ours resnet18":
        settings |= {"network": "resnet18", "decoder_label": False}
    config = CVAEConfig(**settings)
    shape = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}[task["dataset"]]
    model = build(config, shape, 10, warm_up=100)
    model.compile(FusedAdam(config.learning_rate, global_clipnorm=CLIP))
    return model, config, shape


def _keep(model, images, labels, file):
    """Write weights, and what they make of images, for PyTorch to be checked by."""
    import numpy as np

    mean, log_var = model.encode(images, labels)
    pictures = model.decode(mean, labels)
    networks = {"encoder": model.encoder, "decoder": model.decoder}
    weights = {
        f"{part}:{w.path}": w.numpy()
        for part, network in networks.items()
        for w in network.weights
    }
    answers = {"mean": mean, "log_var": log_var, "pictures": pictures}
    np.savez(file, **weights, **answers, images=images, labels=labels)


def serve_torch(name, task):
    """The reference notebook's design, trained on one repeated batch of noise."""
    import torch
    from interleaved import serve
    from torch_cvae import SeedVAE

    torch.manual_seed(0)
    shape = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}[task["dataset"]]
    model = SeedVAE(shape)
    if os.path.exists(task["weights"]):
        _check_same(model, task["weights"])
    step = _torch_step(model, name, task["precision"])
    images = torch.rand(32, shape[2], *shape[:2])
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (32,))

    def train(steps):
        for _ in range(steps):
            loss = step(images, labels)
        loss.item()

    serve(train, batch_size=32, parameters=sum(p.numel() for p in model.parameters()))


def _torch_step(model, name, precision):
    import torch

    model.to(memory_format=torch.channels_last).train()
    run = torch.compile(model) if name == "torch compile" else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    low = precision == "bfloat16"

    def step(images, labels):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = run(images, labels).float().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _check_same(model, file):
    """See that both give the same answers under the same weights."""
    import numpy as np
    import torch
    from torch_cvae import take_weights

    with np.load(file) as kept, torch.no_grad():
        for part in ("encoder", "decoder"):
            names = [name for name in kept if name.startswith(f"{part}:")]
            weights = {name.split(":", 1)[1]: kept[name] for name in names}
            take_weights(getattr(model, part), weights)
        # Keras pads a stride at the far sides and PyTorch at the near ones: the
        # encoder is the other's on mirrored pictures, with all kernels mirrored. Of
        # those that pad nothing, one that halves starts at the other pixel.
        hooks = []
        for part in model.encoder.modules():
            if isinstance(part, torch.nn.Conv2d):
                part.weight.copy_(part.weight.flip(2, 3))
                if part.kernel_size == (1, 1) and part.stride == (2, 2):
                    hooks.append(part.register_forward_pre_hook(_from_the_other_pixel))
        embedding = model.encoder.label_embedding.weight
        embedding.copy_(embedding.flip(1))
        model.eval()
        images = torch.from_numpy(kept["images"]).permute(0, 3, 1, 2).flip(2, 3)
        labels = torch.from_numpy(kept["labels"]).long()
        mean, log_var = model.encoder(images, labels)
        log_var = -torch.nn.functional.softplus(-log_var)  # ours are never above 0
        for hook in hooks:
            hook.remove()
        pictures = model.decoder(torch.from_numpy(kept["mean"])).permute(0, 2, 3, 1)
        answers = {"mean": mean, "log_var": log_var, "pictures": pictures}
        for name, answer in answers.items():
            if not np.allclose(answer.numpy(), kept[name], rtol=1e-3, atol=1e-3):
                raise RuntimeError(f"The networks differ: {name}")


def _from_the_other_pixel(_, inputs):
    (x,) = inputs
    return x.roll((-1, -1), (2, 3)) if x.shape[2] % 2 == 0 else x


def reach(name, task):
    """Train on real images until the seed's figure is reached on held-out ones.

    Prints how long the training alone took, and the curve.
    """
    started = {"ours": _reach_ours, "torch": _reach_torch}[name.split()[0]]
    train, look = started(name, task)
    seconds, curve = 0.0, []
    while True:
        start = time.perf_counter()
        train()
        seconds += time.perf_counter() - start
        curve.append([round(seconds, 1), round(float(look()), 1)])
        print(f"{name}: {seconds:.0f} s, {curve[-1][1]} nats", file=sys.stderr)
        reached = curve[-1][1] <= SEED[task["dataset"]][0]
        if reached or seconds > task["patience"]:
            break
    print(json.dumps({"reached": reached, "seconds": seconds, "curve": curve}))


def _reach_ours(name, task):
    """As train_cvae.py trains, by its first epochs."""
    from train_tf import command_line

    command_line.start_tensorflow()
    from cvae_tf import data
    from cvae_tf.config import CVAEConfig
    from cvae_tf.training import CVAETask
    from train_tf import devices
    from train_tf.data.pipeline import ALONE

    devices.set_up(task["precision"], 0, "one")
    training = CVAETask(CVAEConfig(dataset=task["dataset"]))
    model, images = training.build(), training.data
    batches = iter(training.training_batches(range(training.config.epochs), ALONE))
    held_out = data.Part(*(array[:LOOKS] for array in images.validation))
    validation = data.evaluation_batches(held_out, 100)
    model.make_train_function()
    model.train_function(batches)  # compiles; as everywhere here, it is not counted

    def train():
        for _ in range(task["steps"]):
            model.train_function(batches)

    def look():
        figures = model.evaluate(validation, verbose=0, return_dict=True)
        return figures["negative_elbo"]

    return train, look


def _reach_torch(name, task):
    import torch
    from torch_cvae import SeedVAE

    from train_tf import command_line

    command_line.start_tensorflow()
    from cvae_tf import data

    torch.manual_seed(0)
    images = data.load_images(task["dataset"])
    model = SeedVAE(images.image_shape)
    step = _torch_step(model, name, task["precision"])

    def batch(part, rows):
        pixels = torch.from_numpy(part.images[rows]).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(part.labels[rows]).long()
        return pixels.contiguous(memory_format=torch.channels_last), labels

    step(*batch(images.train, slice(32)))

    def train():
        count = len(images.train.labels)
        for _ in range(task["steps"]):
            step(*batch(images.train, torch.randint(0, count, (32,)).numpy()))

    def look():
        model.eval()
        count = min(LOOKS, len(images.validation.labels))
        parts = [slice(at, min(at + 100, count)) for at in range(0, count, 100)]
        with torch.no_grad():
            nats = [model(*batch(images.validation, part)).sum() for part in parts]
        model.train()
        return sum(nats) / count

    return train, look


if __name__ == "__main__":
    what, name, task = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    if what == "reach":
        reach(name, task)
    else:
        (serve_ours if name.startswith("ours") else serve_torch)(name, task)
