"""The implementations that bench_cvae.py and time_to_target.py compare."""

import os
import sys
import time

from train_tf.data.datasets import DATASETS

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
HELD_OUT = 1000  # validation images that `time_to_target` evaluates on


def start_ours(name, case):
    """Train on one repeated batch of noise."""
    import numpy as np
    from interleaved import step_of

    from train_tf.macs import macs

    task = _our_task(name, case)
    model, batch_size = task.build(), task.config.batch_size
    rng = np.random.default_rng(0)
    images = rng.random((batch_size, *SHAPES[case["dataset"]]), "float32")
    labels = rng.integers(0, 10, batch_size).astype("int32")
    if name == "ours resnet18" and case["precision"] == "float32":
        _save_weights(model, images[:2], labels[:2], case["weights"])
    return step_of(model, images, labels), {
        "batch_size": batch_size,
        "parameters": task.parameters_of(model),
        "macs": sum(map(macs, task.networks(model))),
    }


def _our_task(name, case):
    from train_tf import command_line

    command_line.start_tensorflow()
    from cvae_tf.config import CVAEConfig
    from cvae_tf.training import CVAETask
    from train_tf import devices

    devices.set_up(case["precision"], 0)
    options = {}
    if name == "ours resnet18":
        options = {"network": "resnet18", "decoder_label": False}
    return CVAETask(CVAEConfig(dataset=case["dataset"], **options))


def _save_weights(model, images, labels, file):
    """Save weights and outputs, for `_check_same`."""
    import numpy as np

    mean, log_var = model.encode(images, labels)
    networks = {"encoder": model.encoder, "decoder": model.decoder}
    weights = {
        f"{network}:{w.path}": w.numpy()
        for network in networks
        for w in networks[network].weights
    }
    outputs = {"mean": mean, "log_var": log_var, "images": model.decode(mean, labels)}
    np.savez(file, **weights, **outputs, input_images=images, labels=labels)


def start_torch(name, case):
    """Train the re-implementation in PyTorch on one repeated batch of noise."""
    import torch
    from torch_cvae import ReferenceVAE

    torch.manual_seed(0)
    shape = SHAPES[case["dataset"]]
    model = ReferenceVAE(shape)
    if os.path.exists(case["weights"]):
        _check_same(model, case["weights"])
    step = _torch_step(model, name, case["precision"])
    images = torch.rand(32, shape[2], *shape[:2])
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (32,))
    parameters = sum(weight.numel() for weight in model.parameters())
    facts = {"batch_size": 32, "parameters": parameters}
    return (lambda: step(images, labels)), facts


def _torch_step(model, name, precision):
    import torch

    model.to(memory_format=torch.channels_last).train()
    run = torch.compile(model) if name == "torch compile" else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    mixed = precision == "bfloat16"

    def step(images, labels):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = run(images, labels).float().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _check_same(model, file):
    """Give the model the weights of ours, and check that the outputs are the same."""
    import numpy as np
    import torch
    from torch_cvae import set_weights

    with np.load(file) as saved, torch.no_grad():
        for network in ("encoder", "decoder"):
            names = [name for name in saved if name.startswith(f"{network}:")]
            weights = {name.split(":", 1)[1]: saved[name] for name in names}
            set_weights(getattr(model, network), weights)
        # Keras pads bottom right, PyTorch top left. Flipping all kernels and images
        # makes them equal, except for strided 1x1 convolutions, whose input is shifted
        # by one pixel.
        hooks = []
        for module in model.encoder.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(module.weight.flip(2, 3))
                if module.kernel_size == (1, 1) and module.stride == (2, 2):
                    hooks.append(module.register_forward_pre_hook(_shift_by_one_pixel))
        embedding = model.encoder.label_embedding.weight
        embedding.copy_(embedding.flip(1))
        model.eval()
        images = torch.from_numpy(saved["input_images"]).permute(0, 3, 1, 2).flip(2, 3)
        labels = torch.from_numpy(saved["labels"]).long()
        mean, log_var = model.encoder(images, labels)
        log_var = -torch.nn.functional.softplus(-log_var)  # ours is never above 0
        for hook in hooks:
            hook.remove()
        decoded = model.decoder(torch.from_numpy(saved["mean"])).permute(0, 2, 3, 1)
        outputs = {"mean": mean, "log_var": log_var, "images": decoded}
        for name, output in outputs.items():
            if not np.allclose(output.numpy(), saved[name], rtol=1e-3, atol=1e-3):
                raise RuntimeError(
                    f"The networks differ under the same weights: {name}"
                )


def _shift_by_one_pixel(_, inputs):
    (x,) = inputs
    return x.roll((-1, -1), (2, 3)) if x.shape[2] % 2 == 0 else x


def time_to_target(name, case):
    """Train on real images until held-out ones have the reference notebook's -ELBO.

    Returns:
        Whether they have it, the seconds of training alone, and a curve of seconds and
        -ELBO.
    """
    prepare = _prepare_ours if name.startswith("ours") else _prepare_torch
    train, evaluate = prepare(name, case)
    target = DATASETS[case["dataset"]].cvae.reference.negative_elbo
    seconds, curve, reached = 0.0, [], False
    while not reached and seconds <= case["timeout"]:
        start = time.perf_counter()
        train()
        seconds += time.perf_counter() - start
        nats = round(float(evaluate()), 1)
        curve.append([round(seconds, 1), nats])
        print(f"{name}: {seconds:.0f} s, {nats} nats", file=sys.stderr)
        reached = nats <= target
    return {"reached": reached, "seconds": seconds, "curve": curve}


def _prepare_ours(name, case):
    """The first epochs of a training of train_cvae.py."""
    task = _our_task(name, case)
    from cvae_tf import data
    from train_tf.data.pipeline import SINGLE_REPLICA

    model, validation = task.build(), task.data.validation
    epochs = range(task.config.epochs)
    batches = iter(task.training_batches(epochs, SINGLE_REPLICA))
    held_out = type(validation)(*(array[:HELD_OUT] for array in validation))
    held_out = data.evaluation_batches(held_out, 100)
    model.make_train_function()
    model.train_function(batches)  # compiles

    def train():
        for _ in range(case["steps"]):
            model.train_function(batches)

    def evaluate():
        metrics = model.evaluate(held_out, verbose=0, return_dict=True)
        return metrics["negative_elbo"]

    return train, evaluate


def _prepare_torch(name, case):
    import torch
    from torch_cvae import ReferenceVAE

    from train_tf import command_line

    command_line.start_tensorflow()
    from cvae_tf import data

    torch.manual_seed(0)
    images = data.load_images(case["dataset"])
    model = ReferenceVAE(images.image_shape)
    step = _torch_step(model, name, case["precision"])

    def batch(split, rows):
        pixels = torch.from_numpy(split.images[rows]).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(split.labels[rows]).long()
        return pixels.contiguous(memory_format=torch.channels_last), labels

    step(*batch(images.train, slice(32)))  # the first step is slow

    def train():
        count = len(images.train.labels)
        for _ in range(case["steps"]):
            step(*batch(images.train, torch.randint(0, count, (32,)).numpy()))

    def evaluate():
        model.eval()
        count = min(HELD_OUT, len(images.validation.labels))
        rows = [slice(start, min(start + 100, count)) for start in range(0, count, 100)]
        with torch.no_grad():
            nats = [model(*batch(images.validation, x)).sum() for x in rows]
        model.train()
        return sum(nats) / count

    return train, evaluate


IMPLEMENTATIONS = {
    "ours compact": start_ours,
    "ours resnet18": start_ours,
    "torch eager": start_torch,
    "torch compile": start_torch,
}
