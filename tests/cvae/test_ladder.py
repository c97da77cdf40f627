"""The ladder: what flows where, and what each training step changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import BareConfig

from cvae_tf.ladder.model import LadderCVAE, cross_entropy, kl_from_uniform
from cvae_tf.likelihoods import LIKELIHOODS, Gaussian
from cvae_tf.networks import auxiliary_classifier, compact, latent_discriminator
from train_tf.run.loop import Run, fit

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


def test_likelihood_teaches_the_details_and_not_the_sketch():
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
    drawing = [*model.priors, *model.posteriors, *model.painters]
    taught = {
        id(variable)
        for network in drawing
        for variable in network.trainable_variables
        if "spread" not in variable.path  # of the prior: the rate's to teach
    }
    assert reached == taught


def test_each_training_step_changes_each_network():
    model = small(warm_up=1)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    images, labels = batch(24)
    model.fit(images, labels, batch_size=8, verbose=0)  # past what starts at zero
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
def test_training_that_was_stopped_goes_on_with_the_same_draws(tmp_path):
    whole, history = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", callbacks=[Stop()])
    resumed, same = train(tmp_path / "stopped", resume=True)
    assert same == history and len(history) == 2
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_variable_is_lowered_by_one_loss():
    model = small()
    model.compile(keras.optimizers.Adam())
    losses, _ = model.training_losses(*map(tf.constant, batch()))
    ids = [id(variable) for _, variables in losses for variable in variables]
    assert sorted(ids) == sorted(id(v) for v in model.trainable_variables)


def test_side_networks_are_taught_by_their_own_loss_alone():
    """The loss of the VAE asks them, and must not bend them to its wishes."""
    model = small(warm_up=1)
    model.compile(keras.optimizers.SGD(0.1))
    (_, drawing), (_, watching) = model.training_losses(*map(tf.constant, batch()))[0]
    side = [
        *model.latent_discriminator.trainable_variables,
        *model.auxiliary_classifier.trainable_variables,
    ]
    ids, of_side, of_drawing = ({id(v) for v in x} for x in (watching, side, drawing))
    assert ids == of_side
    assert not ids & of_drawing


def test_relabelling_keeps_the_style_whatever_label_came_before():
    model, (images, _) = small(), batch()
    style, _ = model.encode(images, [0] * 6)
    np.testing.assert_array_equal(
        model.relabel(images, [2] * 6), model.picture(style, [2] * 6)
    )


@pytest.mark.parametrize("obeys", [True, False])
def test_obedience_is_asked_for_with_wrong_labels_and_has_its_price(obeys):
    model, (images, labels) = small(), batch()
    model.compile(run_eagerly=True)
    sent = []

    def relabel(images, wrong):
        sent.append(wrong.numpy())
        return wrong

    def auxiliary_classifier(wrong):
        return tf.one_hot(wrong if obeys else (wrong + 1) % 3, 4) + [0, 0, 0, 9]

    model.relabel, model.auxiliary_classifier = relabel, auxiliary_classifier
    logs = model.test_step((images, labels))
    assert float(logs["label_accuracy"]) == obeys
    without = float(logs["distortion"] + logs["rate"])
    assert float(logs["search_objective"]) == pytest.approx(
        without + 1000 * (not obeys)
    )
    wrong = np.concatenate(sent)
    assert not np.any(wrong == labels)
    assert len({*zip(labels.tolist(), wrong.tolist(), strict=True)}) > 3


def test_each_level_has_its_rate():
    model, (images, labels) = small(), batch()
    style, coarse, fine = model.rate_per_latent(images, labels)
    assert (style.shape, coarse.shape, fine.shape) == ((2,), (1,), (1,))


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values())
def test_black_and_white_images_train_to_finite_numbers(likelihood):
    model = small(likelihood)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    for value in (0, 1, 0):
        images = np.full((2, *SHAPE), value, "float32")
        figures = model.train_on_batch(images, np.array([0, 1]), return_dict=True)
        assert np.isfinite(list(figures.values())).all()


def test_saved_model_comes_back_with_optimizer_and_settings(tmp_path):
    model = small(balance=(1.0, 2.0, 3.0, 4.0), warm_up=9)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    model.fit(*batch(), verbose=0)
    model.save(tmp_path / "cvae.keras")
    again = keras.saving.load_model(tmp_path / "cvae.keras")
    assert (again.balance, again.warm_up) == (model.balance, 9)
    one, other = (m.train_on_batch(*batch()) for m in (model, again))
    assert one == other


def test_terms_beside_the_elbo_are_exact():
    # Answers 1/2 and 1/4, 1/4: mean of -log is (ln 2 + 2 ln 4) / 3 = 5/3 ln 2.
    logits = tf.constant([[np.log(2.0), 0, 0], [7.0, 7, 7]], tf.float32)
    distance = kl_from_uniform(logits).numpy()
    assert distance[0] == pytest.approx(5 / 3 * np.log(2) - np.log(3), rel=1e-5)
    assert distance[1] == pytest.approx(0, abs=1e-6)
    nats = cross_entropy(tf.constant([0, 1]), logits).numpy()
    assert nats == pytest.approx([np.log(2), np.log(3)])


def test_without_side_networks_only_the_drawing_ones_are_trained():
    model, (images, labels) = small(balance=(1.0, 0.0, 0.0, 0.0)), batch()
    model.compile(keras.optimizers.SGD(1e-4))
    beside = [
        *model.auxiliary_classifier.get_weights(),
        *model.latent_discriminator.get_weights(),
    ]
    before = model.decoder.get_weights()[0]
    history = model.fit(images, labels, validation_data=(images, labels), verbose=0)
    assert "loss" in history.history and not {
        "label_accuracy",
        "search_objective",
    } & set(history.history)
    after = [
        *model.auxiliary_classifier.get_weights(),
        *model.latent_discriminator.get_weights(),
    ]
    for one, other in zip(beside, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(model.decoder.get_weights()[0] - before).max() > 0
