"""build_cvae: every variant of the command line, saved and loaded in any precision."""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import run_eagerly

from cvae_tf import CVAE, CVAEConfig, LadderCVAE, LossWeights, build_cvae
from cvae_tf.likelihoods import LIKELIHOODS
from cvae_tf.networks import NETWORKS
from train_tf.errors import InputError
from train_tf.optimizers import FusedAdam

SHAPE, CLASSES = (8, 8, 1), 3
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def batch(count=4):
    random = np.random.default_rng(0)
    images = random.random((count, *SHAPE), dtype="float32")
    return images, random.integers(0, CLASSES, count).astype("int32")


def test_default_is_that_of_the_command_line():
    model = build_cvae((28, 28, 1), 10)
    config = CVAEConfig().resolve()
    assert isinstance(model, LadderCVAE)
    assert (model.latents, model.beta) == (config.latents, config.beta)
    assert model.details[0].posterior.outputs[0].shape[-1] == config.detail_latents
    same = build_cvae((28, 28, 1), 10, **CVAEConfig().model_options)
    shapes = [[x.shape for x in m.weights] for m in (model, same)]
    assert shapes[0] == shapes[1]
    assert same.loss_weights == LossWeights(**config.loss_weights)


@pytest.mark.parametrize(
    ("network", "likelihood", "decoder_label"),
    itertools.product(NETWORKS, LIKELIHOODS, (True, False)),
)
def test_every_form_of_the_command_line_is_built(network, likelihood, decoder_label):
    keras.utils.set_random_seed(0)
    model = build_cvae(SHAPE, CLASSES, network, likelihood, decoder_label, latents=2)
    assert isinstance(model, LadderCVAE) == (network == "compact")
    assert isinstance(model.likelihood, LIKELIHOODS[likelihood])
    images, labels = batch()
    assert np.isfinite(model.elbo_terms(images, labels)["negative_elbo"]).all()
    for embedding in model.decoder.weights:  # FiLM starts as the identity
        if "scale_and_shift/kernel" in embedding.path:
            embedding.assign(tf.random.normal(embedding.shape))
    one, other = (model.decode_image(np.zeros((1, 2)), [label]) for label in (0, 1))
    assert bool(np.any(one != other)) == decoder_label


def test_label_terms_need_a_decoder_with_label():
    model = build_cvae(SHAPE, CLASSES, decoder_label=False)
    assert model.loss_weights == LossWeights(adversarial=0, label=0, cycle=0)
    assert not model.has_relabelling_terms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "huge"}, "network .--network. to be one of compact, plain"),
        ({"likelihood": "cauchy"}, "likelihood .--likelihood. to be one of gaussian"),
        ({"network": "plain", "width": 8}, "no width for network='plain'.*: width=8"),
        ({"network": "resnet18", "detail_latents": 8}, "Expected no detail_latents"),
    ],
    ids=str,
)
def test_unknown_name_or_size_is_rejected(options, message):
    with pytest.raises(InputError, match=message):
        build_cvae(SHAPE, CLASSES, **options)


@pytest.mark.parametrize(
    ("network", "saved"),
    [
        ("compact", "mixed_bfloat16"),
        *[pytest.param("compact", x, marks=pytest.mark.slow) for x in PRECISIONS[::2]],
        *[("plain", saved) for saved in PRECISIONS],
    ],
)
def test_saved_model_loads_in_every_precision(network, saved, tmp_path):
    # Sublayers took the global precision, not that of their layer.
    keras.config.set_dtype_policy(saved)
    model = build_cvae(SHAPE, CLASSES, network)
    model.save(tmp_path / "vae.keras")
    images, labels = batch()
    expected = model.relabel(images, labels).numpy()
    for loaded in PRECISIONS:
        keras.config.set_dtype_policy(loaded)
        again = keras.saving.load_model(tmp_path / "vae.keras")
        np.testing.assert_array_equal(again.relabel(images, labels), expected)
        with run_eagerly():
            prediction = again.predict((images, labels), verbose=0)
        assert prediction.shape == images.shape and np.isfinite(prediction).all()


def test_import_registers_all_classes_without_importing_keras(tmp_path):
    model = build_cvae(SHAPE, CLASSES)
    model.compile(FusedAdam(0.01))
    images, labels = batch()
    with run_eagerly():
        model.fit(images, labels, verbose=0)
    model.save(tmp_path / "vae.keras")
    np.savez(tmp_path / "batch.npz", images=images, labels=labels)
    program = """
import sys
import cvae_tf
assert not {"keras", "tensorflow"} & set(sys.modules)
import keras
import numpy as np
model = keras.models.load_model(sys.argv[1] + "/vae.keras")
images, labels = np.load(sys.argv[1] + "/batch.npz").values()
np.save(sys.argv[1] + "/relabelled.npy", model.relabel(images, labels))
print(type(model).__name__, type(model.optimizer).__name__)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True
    )
    assert answer.stdout == "LadderCVAE FusedAdam\n", answer.stderr
    relabelled = np.load(tmp_path / "relabelled.npy")
    np.testing.assert_allclose(relabelled, model.relabel(images, labels), atol=1e-6)


def test_one_level_is_a_plain_cvae():
    assert type(build_cvae(SHAPE, CLASSES, "plain")) is CVAE
