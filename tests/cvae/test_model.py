"""The conditional VAE: one ELBO, checked images and labels, complete saving."""

import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tiny import ROOT

from cvae_tf.layers import GaussianParameters, with_label_channel
from cvae_tf.likelihoods import Bernoulli, Gaussian
from cvae_tf.model import CVAE, TERMS

SHAPE, CLASSES = (4, 4, 1), 3


def small(likelihood=Bernoulli, decoder_label=True, **settings):
    """A VAE with one dense layer as encoder and one as decoder."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE, name="image")
    label = keras.Input((), dtype="int32", name="label")
    x = layers.Flatten()(with_label_channel(image, label, CLASSES))
    parameters = GaussianParameters()(layers.Dense(2 * 2, name="both")(x))
    encoder = keras.Model([image, label], parameters)
    latent = keras.Input((2,), name="latent")
    inputs, x = [latent], latent
    if decoder_label:
        embedding = layers.Embedding(CLASSES, 2, name="label_embedding")(label)
        inputs, x = [latent, label], layers.Concatenate()([latent, embedding])
    x = layers.Reshape(SHAPE)(layers.Dense(16, name="pixels")(x))
    decoder = keras.Model(inputs if decoder_label else latent, x)
    return CVAE(encoder, decoder, likelihood(), CLASSES, **settings)


def batch(count=6, seed=0):
    random = np.random.default_rng(seed)
    images = random.random((count, *SHAPE), dtype="float32")
    return images, random.integers(0, CLASSES, count).astype("int32")


def test_elbo_is_distortion_plus_beta_times_rate():
    model = small(beta=3.0)
    terms = {name: value.numpy() for name, value in model.elbo_terms(*batch()).items()}
    assert set(terms) == set(TERMS)
    assert all(value.shape == (6,) for value in terms.values())
    expected = terms["distortion"] + 3 * terms["rate"]
    np.testing.assert_allclose(terms["negative_elbo"], expected, rtol=1e-6)
    bits = (terms["distortion"] + terms["rate"]) / (16 * np.log(2))
    np.testing.assert_allclose(terms["bits_per_dim"], bits, rtol=1e-6)


def test_arrays_give_what_tensors_give():
    model, (images, labels) = small(), batch()
    mean, log_var = model.encode(images, labels)
    assert mean.shape == log_var.shape == (6, 2)
    same, _ = model.encode(tf.constant(images), tf.constant(labels))
    np.testing.assert_array_equal(mean, same)
    outputs = model.decode(np.asarray(mean), labels)
    np.testing.assert_array_equal(outputs, model.decode(mean, tf.constant(labels)))


def test_rate_is_the_kl_divergence_of_the_encoder_in_nats():
    # Mean (1, 0) and (0, 2), log variance (0, 0) and (-ln 4, 0): 0.5 and 2.3181 nats.
    model, zero = small(), 50.0  # an output that gives a log variance of 0
    model.encoder.get_layer("both").set_weights(
        [np.zeros((32, 4)), np.array([1.0, 0, zero, zero])]
    )
    assert model.elbo_terms(*batch(1))["rate"].numpy() == pytest.approx(0.5)
    below = 12 * np.arctanh(np.log(4) / 12)
    quarter = -np.log(np.expm1(below))  # an output that gives -ln 4
    model.encoder.get_layer("both").set_weights(
        [np.zeros((32, 4)), np.array([0, 2, quarter, zero])]
    )
    assert model.elbo_terms(*batch(1))["rate"].numpy() == pytest.approx(2.3181, 1e-4)


def test_terms_of_an_image_do_not_depend_on_the_batch():
    model = small()
    model.sample = lambda mean, log_var: mean  # noise differs by row
    images, labels = batch()
    alone = model.elbo_terms(images[:1], labels[:1])["negative_elbo"][0]
    together = model.elbo_terms(images, labels)["negative_elbo"][0]
    assert float(alone) == pytest.approx(float(together), rel=1e-6)


def test_epoch_reports_the_mean_over_all_its_images_and_has_validation_twins():
    model = small()
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(
        *batch(8), batch_size=4, validation_data=batch(4), verbose=0
    ).history
    for name in (*TERMS, "loss"):
        assert name in history and f"val_{name}" in history
    values = iter([1.0, 3.0])
    model.elbo_terms = lambda images, labels: {
        name: tf.fill([len(images)], next(values)) if name == "rate" else tf.zeros(4)
        for name in TERMS
    }
    model.run_eagerly = True
    model.test_function = None
    metrics = model.evaluate(*batch(8), batch_size=4, verbose=0, return_dict=True)
    assert metrics["rate"] == 2.0


@pytest.mark.parametrize("wrong", [[3], [-1], [1.7], [[0, 3]], ["cat"], [np.nan]])
@pytest.mark.parametrize("method", ["relabel", "elbo_terms", "generate", "call"])
def test_label_out_of_range_is_rejected_with_the_range(wrong, method):
    model, (images, _) = small(), batch(np.size(wrong))
    calls = {
        "relabel": lambda: model.relabel(images, wrong),
        "elbo_terms": lambda: model.elbo_terms(images, wrong),
        "generate": lambda: model.generate(wrong),
        "call": lambda: model.call((images, wrong)),
    }
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        calls[method]()


@pytest.mark.parametrize("wrong", [3, -1])
def test_label_out_of_range_is_rejected_inside_a_graph_too(wrong):
    model, (images, _) = small(), batch(1)
    relabel = tf.function(model.relabel)
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels from 0 to 2"):
        relabel(images, tf.constant([wrong]))


@pytest.mark.parametrize("method", ["relabel", "generate", "call", "fit"])
def test_fraction_for_a_label_is_rejected_in_a_tensor_too(method):
    model, (images, _) = small(), batch(2)
    wrong = tf.constant([1.7, 0.2])
    model.compile("sgd")
    calls = {
        "relabel": lambda: model.relabel(images, wrong),
        "generate": lambda: model.generate(wrong),
        "call": lambda: model((images, wrong)),
        "fit": lambda: model.fit(images, np.array(wrong), verbose=0),
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match="whole numbers"):
        calls[method]()


@pytest.mark.parametrize("method", ["relabel", "generate", "call", "fit"])
def test_one_hot_labels_are_rejected_by_shape(method):
    model, (images, _) = small(), batch(2)
    wrong = np.eye(CLASSES, dtype="int32")[[1, 2]]
    model.compile("sgd")
    calls = {
        "relabel": lambda: model.relabel(images, wrong),
        "generate": lambda: model.generate(wrong),
        "call": lambda: model((images, wrong)),
        "fit": lambda: model.fit(images, wrong, verbose=0),
    }
    with pytest.raises(ValueError, match=r"not one-hot. Received: \((2|None), 3\)"):
        calls[method]()


@pytest.mark.parametrize("weights", ["sample_weight", "class_weight"])
def test_sample_weights_are_rejected_and_not_ignored(weights):
    model, (images, labels) = small(), batch()
    model.compile("sgd", run_eagerly=True)
    values = {"sample_weight": np.ones(6), "class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}
    with pytest.raises(ValueError, match="sample_weight or class_weight"):
        model.fit(images, labels, verbose=0, **{weights: values[weights]})


def test_labels_may_come_as_a_column():
    model, (images, labels) = small(), batch()
    one, other = model.relabel(images, labels), model.relabel(images, labels[:, None])
    np.testing.assert_array_equal(one, other)


def test_images_of_another_shape_are_rejected_by_shape():
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*Received: \(2, 5, 5, 1\)"):
        small().relabel(np.zeros((2, 5, 5, 1)), [0, 1])


OUT_OF_RANGE = {  # images in [0, 1] to others, and what the message says of them
    "centred": (lambda images: 2 * images - 1, r"-0\.9\d+ to 0\.9"),
    "grey levels": (lambda images: 255 * images, r"\d.* to 25\d"),
    "NaN": (lambda images: np.where(images > 0.9, np.nan, images), "nan to nan"),
}


@pytest.mark.parametrize(
    ("change", "received"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE
)
def test_images_out_of_range_are_rejected_with_the_range(change, received):
    model, (images, labels) = small(), batch(40)
    model.compile("sgd")
    wrong = change(images).astype("float32")
    batches = tf.data.Dataset.from_tensors((wrong, labels))
    for call in (
        lambda: model.elbo_terms(wrong, labels),
        lambda: model.relabel(wrong, labels),
        lambda: model((wrong, labels)),
        lambda: model.fit(wrong, labels, verbose=0),
        lambda: model.fit(batches, verbose=0),
        lambda: model.evaluate(wrong, labels, verbose=0),
    ):
        with pytest.raises(
            ValueError, match=rf"Expected image from 0 to 1\. Received: {received}"
        ):
            call()
    model.fit(images, labels, verbose=0)


def test_images_out_of_range_are_rejected_inside_a_graph_too():
    model, (images, labels) = small(), batch()
    relabel = tf.function(model.relabel)
    with pytest.raises(tf.errors.InvalidArgumentError, match="image from 0 to 1"):
        relabel(tf.constant(2 * images), tf.constant(labels))


def test_xla_makes_the_loss_of_images_out_of_range_nan():
    # It drops assertions.
    model, (images, labels) = small(), batch()
    model.compile("sgd", jit_compile=True)
    assert np.isfinite(model.train_on_batch(images, labels)[0])
    assert np.isnan(model.train_on_batch(255 * images, labels)[0])


@pytest.mark.parametrize("decoder_label", [True, False])
def test_gradient_of_the_label_reaches_the_embeddings(decoder_label):
    model, (images, labels) = small(decoder_label=decoder_label), batch()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.elbo_terms(images, labels)["negative_elbo"])
    names = [v.path for v in model.trainable_variables if "embedding" in v.path]
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(names) == 1 + decoder_label
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        dense = tf.convert_to_tensor(gradient).numpy()
        assert np.abs(dense).max() > 0, variable.path
        if "embedding" in variable.path:
            rows = np.abs(dense).max(-1) > 0
            np.testing.assert_array_equal(rows, np.isin(range(CLASSES), labels))


def test_label_matters_only_to_a_decoder_that_receives_it():
    images, labels = batch()
    seeing, blind = small(), small(decoder_label=False)
    latent = np.zeros((6, 2), "float32")
    other = (labels + 1) % CLASSES
    assert np.abs(
        seeing.decode_image(latent, labels) - seeing.decode_image(latent, other)
    ).max()
    np.testing.assert_array_equal(
        blind.decode_image(latent, labels), blind.decode_image(latent, other)
    )


def test_generate_follows_from_label_and_seed_alone():
    model = small()
    first = model.generate([0, 1, 2], [5, 6, 5]).numpy()
    np.testing.assert_array_equal(first, model.generate([0, 1, 2], [5, 6, 5]))
    np.testing.assert_allclose(first[1:2], model.generate([1], [6]), atol=1e-6)
    np.testing.assert_allclose(model.generate([0, 2], 5), first[[0, 2]], atol=1e-6)
    assert (first != model.generate([0, 1, 2], [7, 8, 9]).numpy()).any((1, 2, 3)).all()


@pytest.mark.parametrize("log_var", [-200.0, -20.0, 0.0, 20.0, 200.0])
@pytest.mark.parametrize("likelihood", [Gaussian, Bernoulli])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_extremes_keep_loss_and_gradients_finite(log_var, likelihood, value):
    model = small(likelihood)
    both = model.encoder.get_layer("both")
    both.set_weights([both.get_weights()[0], np.array([0, 0, log_var, log_var])])
    images = np.full((2, *SHAPE), value, "float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.elbo_terms(images, [0, 1], True)["negative_elbo"])
    gradients = tape.gradient(loss, model.trainable_variables)
    assert np.isfinite(loss)
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)


def test_training_lowers_the_loss_and_reports_the_rate_of_each_latent():
    model, (images, labels) = small(), batch(32)
    model.compile(keras.optimizers.Adam(0.05))
    history = model.fit(images, labels, epochs=20, batch_size=8, verbose=0).history
    assert history["negative_elbo"][-1] < history["negative_elbo"][0]
    (rates,) = model.rate_per_latent(images, labels)
    total = np.mean(model.elbo_terms(images, labels)["rate"])
    assert rates.shape == (2,)
    assert float(tf.reduce_sum(rates)) == pytest.approx(total, rel=1e-5)


def test_saved_model_trains_on_in_a_new_process_as_if_never_saved(tmp_path):
    model = small(Gaussian, beta=2.0, seed=7)
    model.compile(keras.optimizers.Adam(0.01))
    images, labels = batch()
    model.fit(images, labels, epochs=2, verbose=0)
    model.save(tmp_path / "cvae.keras")
    np.savez(tmp_path / "batch.npz", images=images, labels=labels)
    program = textwrap.dedent(
        """
        import cvae_tf, json, sys, keras, numpy as np
        folder = sys.argv[1]
        model = keras.saving.load_model(f"{folder}/cvae.keras")
        images, labels = np.load(f"{folder}/batch.npz").values()
        settings = [model.beta, model.seed, int(model.optimizer.iterations)]
        losses = [float(model.train_on_batch(images, labels)[0]) for _ in "ab"]
        print(json.dumps([settings, losses]))
        """
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout
    settings, losses = json.loads(answer)
    assert settings == [2.0, 7, 2]
    assert losses == [float(model.train_on_batch(images, labels)[0]) for _ in "ab"]
