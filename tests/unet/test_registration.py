"""`import unet_tf` is free, and Keras then loads what was saved with our classes."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from unet_tf.blocks import strided_down, upsample_up
from unet_tf.config import UNetConfig
from unet_tf.model import build_unet
from unet_tf.training import compile_model


def run_in_new_process(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_import_of_the_package_does_not_import_keras():
    code = "import sys, unet_tf; print({'keras', 'tensorflow'} & {*sys.modules})"
    answer = run_in_new_process(code)
    assert answer.stdout == "set()\n", answer.stderr


@pytest.mark.slow
def test_saved_model_loads_in_a_new_process_and_trains_on(tmp_path):
    config = UNetConfig()
    model = build_unet((8, 8, 3), 2, 2, 1, down=strided_down, up=upsample_up)
    compile_model(model, config, 10, ("a", "b"))
    images, masks = np.random.rand(2, 8, 8, 3), np.zeros((2, 8, 8))
    for _ in range(2):
        model.train_on_batch(images, masks)
    model.save(tmp_path / "unet.keras")
    np.savez(tmp_path / "batch.npz", images=images, masks=masks)
    code = """
import sys
import unet_tf
import keras
import numpy as np
import pytest
model = keras.models.load_model(sys.argv[1])
batch = np.load(sys.argv[2])
print(int(model.optimizer.iterations), type(model.optimizer).__name__)
print(model.train_on_batch(batch["images"], batch["masks"], return_dict=True)["loss"])
"""
    answer = run_in_new_process(code, tmp_path / "unet.keras", tmp_path / "batch.npz")
    assert answer.returncode == 0, answer.stderr
    iterations, loss = answer.stdout.splitlines()
    assert iterations == "2 ConvMuon"
    keras.utils.set_random_seed(0)
    expected = model.train_on_batch(images, masks, return_dict=True)["loss"]
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)
