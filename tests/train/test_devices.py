"""Choice of precision, the device message, and the memory check."""

import keras
import psutil
import pytest

from train_tf import devices
from train_tf.errors import InputError
from unet_tf.model import build_unet


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ("fpu avx2 avx512f", "float32"),
        ("fpu avx512f avx512_bf16", "mixed_bfloat16"),
        ("amx_bf16 fpu", "mixed_bfloat16"),
    ],
)
def test_precision_follows_the_instructions(flags, policy, monkeypatch, capsys):
    text = f"processor : 0\nflags\t\t: {flags}\nbugs\t\t: none\n"
    monkeypatch.setattr(devices.Path, "read_text", lambda _: text)
    monkeypatch.setattr(devices.tf.config, "list_physical_devices", lambda _: [])
    devices.set_up("auto", seed=3)
    assert keras.config.dtype_policy().name == policy
    assert f"{policy}, seed 3" in capsys.readouterr().out


def test_processor_that_says_nothing_gets_float32(monkeypatch):
    monkeypatch.setattr(devices.Path, "read_text", lambda _: "model : Arm\n")
    devices.set_up("auto", seed=0)
    assert keras.config.dtype_policy().name == "float32"


def test_precision_that_is_asked_for_is_taken():
    devices.set_up("bfloat16", seed=0)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    with devices.float32():
        assert keras.config.dtype_policy().name == "float32"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_seed_decides_the_first_weights():
    def weights(seed):
        devices.set_up("float32", seed)
        return build_unet((8, 8, 3), filters=2, depth=1).get_weights()[0]

    assert (weights(1) == weights(1)).all()
    assert (weights(1) != weights(2)).any()


def test_training_that_cannot_fit_is_rejected_with_a_way_out(monkeypatch):
    model = build_unet((64, 64, 3), filters=2, depth=2)
    devices.require_training_memory([model], batch_size=2)
    free = psutil.virtual_memory()._replace(available=2**20)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match="smaller images, a smaller batch"):
        devices.require_training_memory([model], batch_size=2)


def test_memory_is_counted_in_the_precision_of_each_output(monkeypatch):
    sizes = []
    monkeypatch.setattr(devices, "require_memory", lambda size, *_: sizes.append(size))
    for precision in ("float32", "bfloat16"):
        devices.set_up(precision, seed=0)
        image = keras.Input((4, 4, 3), dtype="float32")
        x = keras.layers.Conv2D(5, 1)(image)
        devices.require_training_memory([keras.Model(image, x)], batch_size=7)
    image, features = 4 * 4 * 3, 4 * 4 * 5
    assert sizes == [7 * 4 * (image + features), 7 * (4 * image + 2 * features)]
