"""The ladder: where gradients go, and what each training step changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import BareConfig

from cvae_tf.ladder.losses import LossWeights, cross_entropy, kl_from_uniform
from cvae_tf.ladder.model import LadderCVAE
from cvae_tf.ladder.networks import (
    auxiliary_classifier,
    compact,
    latent_discriminator,
)
from cvae_tf.likelihoods import LIKELIHOODS, Gaussian
from train_tf.run.fit import fit
from train_tf.run.resumable_run import Run

SHAPE, CLASSES = (8, 8, 1), 3


def small(likelihood=Gaussian, **settings):
    keras.utils.set_random_seed(0)
    sizes = {"latents": 2, "detail_latents": 1, "width": 4}
    outputs = likelihood.outputs_per_channel
    encoder, decoder, details = compact(SHAPE, CLASSES, outputs, **sizes)
    return LadderCVAE(
        encoder,
        decoder,
        likelihood(),
        CLASSES,
        details,
        latent_discriminator(2, CLASSES),
        auxiliary_classifier(SHAPE, CLASSES, width=4),
        **settings,
    )


def batch(count=6):
    random = np.random.default_rng(0)
    images = random.random((count, *SHAPE), dtype="float32")
    return images, random.integers(0, CLASSES, count).astype("int32")


def test_likelihood_trains_the_details_and_not_the_coarse_image():
    model, (images, labels) = small(), batch()
    with tf.GradientTape() as tape:
        terms = model.elbo_terms(images, labels, training=True)
        distortion = tf.reduce_mean(terms["distortion"])
    gradients = tape.gradient(distortion, model.trainable_variables)
    reached = {
        id(variable)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is not None
    }
    networks = [*model.priors, *model.posteriors, *model.detail_decoders]
    trained = {
        id(variable)
        for network in networks
        for variable in network.trainable_variables
        if "unbounded_log_var" not in variable.path  # the rate trains it
    }
    assert reached == trained


def test_each_training_step_changes_each_network():
    model = small(loss_warm_up_steps=1)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    images, labels = batch(24)
    # Three steps, because some weights start at zero.
    model.fit(images, labels, batch_size=8, verbose=0)
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(images[:8], labels[:8], verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (variable.numpy() != old).any(), variable.path


class Stop(keras.callbacks.Callback):
    """Stops a training after its third step, in the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 3:
            raise KeyboardInterrupt


def train(folder, resume=False, callbacks=()):
    model = small()
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    run = Run(
        BareConfig(folder, epochs=2, resume=resume), "val_negative_elbo", mode="min"
    )

    def batches(epochs, replicas):
        return tf.data.Dataset.from_tensor_slices(batch(6)).batch(3).repeat(len(epochs))

    def validation(replicas):
        return batches(range(1), replicas)

    with run:
        fit(model, run, batches, 2, validation, 2, list(callbacks))
    return model, run.history


@pytest.mark.slow
def test_resumed_training_continues_with_the_same_random_numbers(tmp_path):
    whole, history = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", callbacks=[Stop()])
    resumed, same = train(tmp_path / "stopped", resume=True)
    assert same == history and len(history) == 2
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_variable_is_trained_by_one_loss():
    model = small()
    model.compile(keras.optimizers.Adam())
    losses, _ = model.training_losses(*map(tf.constant, batch()))
    ids = [id(variable) for _, variables in losses for variable in variables]
    assert sorted(ids) == sorted(id(v) for v in model.trainable_variables)


def test_adversaries_are_trained_by_their_own_loss_alone():
    model = small(loss_warm_up_steps=1)
    model.compile(keras.optimizers.SGD(0.1))
    (_, of_vae), (_, of_adversaries) = model.training_losses(
        *map(tf.constant, batch())
    )[0]
    adversaries = [
        *model.latent_discriminator.trainable_variables,
        *model.auxiliary_classifier.trainable_variables,
    ]
    ids, expected, vae = (
        {id(v) for v in x} for x in (of_adversaries, adversaries, of_vae)
    )
    assert ids == expected
    assert not ids & vae


def test_relabelling_keeps_the_style_whatever_the_true_label():
    model, (images, _) = small(), batch()
    style, _ = model.encode(images, [0] * 6)
    np.testing.assert_array_equal(
        model.relabel(images, [2] * 6), model.decode_image(style, [2] * 6)
    )


@pytest.mark.parametrize("follows", [True, False])
def test_auxiliary_label_accuracy_is_part_of_the_search_objective(follows):
    model, (images, labels) = small(), batch()
    model.compile(run_eagerly=True)
    requested = []

    def relabel(images, wrong):
        requested.append(wrong.numpy())
        return wrong

    def auxiliary_classifier(wrong):
        return tf.one_hot(wrong if follows else (wrong + 1) % 3, 4) + [0, 0, 0, 9]

    model.relabel, model.auxiliary_classifier = relabel, auxiliary_classifier
    logs = model.test_step((images, labels))
    assert float(logs["auxiliary_label_accuracy"]) == follows
    negative_elbo = float(logs["distortion"] + logs["rate"])
    assert float(logs["search_objective"]) == pytest.approx(
        negative_elbo + 1000 * (not follows)
    )
    wrong = np.concatenate(requested)
    assert not np.any(wrong == labels)
    assert len({*zip(labels.tolist(), wrong.tolist(), strict=True)}) > 3


def test_each_level_has_its_rate():
    model, (images, labels) = small(), batch()
    style, coarse, fine = model.rate_per_latent(images, labels)
    assert (style.shape, coarse.shape, fine.shape) == ((2,), (1,), (1,))


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", LIKELIHOODS.values())
def test_black_and_white_images_train_to_finite_numbers(likelihood):
    model = small(likelihood)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    for value in (0, 1, 0):
        images = np.full((2, *SHAPE), value, "float32")
        metrics = model.train_on_batch(images, np.array([0, 1]), return_dict=True)
        assert np.isfinite(list(metrics.values())).all()


def test_saved_model_is_restored_with_optimizer_and_settings(tmp_path):
    weights = LossWeights(coarse=1.0, adversarial=2.0, label=3.0, cycle=4.0)
    model = small(loss_weights=weights, loss_warm_up_steps=9)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    model.fit(*batch(), verbose=0)
    model.save(tmp_path / "cvae.keras")
    again = keras.saving.load_model(tmp_path / "cvae.keras")
    assert (again.loss_weights, again.loss_warm_up_steps) == (weights, 9)
    assert model.get_config()["loss_weights"] == {
        "coarse": 1.0,
        "adversarial": 2.0,
        "label": 3.0,
        "cycle": 4.0,
    }
    one, other = (m.train_on_batch(*batch()) for m in (model, again))
    assert one == other


def test_kl_from_uniform_and_cross_entropy_are_as_worked_by_hand():
    # Probabilities 1/2, 1/4, 1/4: mean of -log is (ln 2 + 2 ln 4) / 3 = 5/3 ln 2.
    logits = tf.constant([[np.log(2.0), 0, 0], [7.0, 7, 7]], tf.float32)
    distance = kl_from_uniform(logits).numpy()
    assert distance[0] == pytest.approx(5 / 3 * np.log(2) - np.log(3), rel=1e-5)
    assert distance[1] == pytest.approx(0, abs=1e-6)
    nats = cross_entropy(tf.constant([0, 1]), logits).numpy()
    assert nats == pytest.approx([np.log(2), np.log(3)])


def test_without_label_terms_the_adversaries_are_not_trained():
    model, (images, labels) = (
        small(loss_weights={"adversarial": 0, "label": 0, "cycle": 0}),
        batch(),
    )
    model.compile(keras.optimizers.SGD(1e-4))
    adversaries = (model.auxiliary_classifier, model.latent_discriminator)
    weights = [w for network in adversaries for w in network.get_weights()]
    before = model.decoder.get_weights()[0]
    history = model.fit(images, labels, validation_data=(images, labels), verbose=0)
    assert "loss" in history.history and not {
        "auxiliary_label_accuracy",
        "search_objective",
    } & set(history.history)
    after = [w for network in adversaries for w in network.get_weights()]
    for one, other in zip(weights, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(model.decoder.get_weights()[0] - before).max() > 0


def test_loss_weights_are_passed_by_name_alone():
    assert LossWeights(label=7).label == 7
    with pytest.raises(TypeError):
        LossWeights(1, 2, 3, 4)
