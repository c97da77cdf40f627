"""The comparison of VAEs: what it trains, its table and its figures."""

import dataclasses

import compare_cvaes as compare
import pytest
import tables
from compare_cvaes import CompareCVAEsConfig, draw_figures, read_trained, variants
from PIL import Image

from cvae_tf.config import CVAEConfig
from train_tf.errors import InputError
from train_tf.files import read_json, write_json

SCORES = {
    "classifier_accuracy": 0.996,
    "label_accuracy": 0.998,
    "source_accuracy": 0.001,
    "style": {"ink": 0.9, "slant": 0.95, "width": 0.8},
    "sharpness": 0.96,
    "leakage": 0.5,
}
TEST = {"negative_elbo": -2800.04, "distortion": -3900, "rate": 1100, "bits_per_dim": 3}


def test_table_has_the_metrics_of_each_vae_and_of_the_reference_notebook(tmp_path):
    one = {
        "title": "compact",
        "config": {"dataset": "mnist", "likelihood": "gaussian", "name": None},
        "run_name": "small",
        "images": {"train": 57_000, "validation": 3_000, "test": 10_000},
        "parameters": 1_390_000,
        "latents": 992,
        "rate_per_latent": [[0.1] * 12, [0.2] * 4, [0.3] * 4],
        "epochs": 8,
        "minutes": 28.4,
        "test": TEST,
        "scores": SCORES,
    }
    write_json(tmp_path / "cvae_small.json", one)
    for dataset in ("mnist", "cifar10"):
        linear = {"negative_log_likelihood_by_latents": {}}
        write_json(tmp_path / f"linear_{dataset}.json", linear)
    _, row, reference, *others = tables.TABLES["all_vaes"](tmp_path)
    cells = [8, "28", "1.39M", "12 + 980", "-2800", "-3900", "1100", "3.00", "99.80%"]
    assert row[0] == "mnist, compact" and row[1:10] == cells
    assert row[10:] == ["0.10%", "0.80 (width)", "0.96", "50%"]
    assert reference[0] == "mnist, the reference notebook (training batches)"
    assert reference[1:6] == [30, "", "20.1M", 256, "-962"]
    assert not others  # no VAE of CIFAR10 was trained


def test_figures_are_drawn_of_what_was_trained(
    trained_cvae, small_sets, tmp_path, monkeypatch
):
    monkeypatch.setattr(compare, "BUNDLED", small_sets)
    config, results, _ = trained_cvae
    one = {"title": "compact", **results, "scores": SCORES}
    write_json(tmp_path / f"{config.run_name}.json", one)
    unfinished = {"config": results["config"]}  # of train_cvae.py alone
    write_json(tmp_path / "cvae_cifar10_compact_gaussian.json", unfinished)
    assert [x["run_name"] for x in read_trained(tmp_path)] == [config.run_name]
    draw_figures(tmp_path, config.saved_models_dir)
    for name in ("wrong_labels", "all_labels"):
        with Image.open(tmp_path / config.run_name / f"{name}.png") as figure:
            assert figure.width > 300
    with Image.open(tmp_path / "cvae_curves.png") as figure:
        assert figure.width > 600
    with pytest.raises(InputError, match="Expected results of compare_cvaes.py in"):
        draw_figures(tmp_path / config.run_name, config.saved_models_dir)


def test_variants_are_trainings_with_names_of_their_own():
    options = variants(CompareCVAEsConfig(), "mnist").values()
    configs = [CVAEConfig(**one) for one in options]
    assert [config.run_name for config in configs] == [
        "cvae_mnist_compact_gaussian",
        "cvae_mnist_compact_gaussian_no_decoder_label",
        "cvae_mnist_compact_discretized_logistic",
        "cvae_mnist_plain_gaussian",
        "cvae_mnist_resnet18_gaussian_no_decoder_label",
    ]
    reference_variant = configs[4].resolve()
    assert (reference_variant.batch_size, reference_variant.learning_rate) == (32, 1e-4)


def test_results_of_other_images_are_not_replaced(trained_cvae, small_sets, tmp_path):
    config, results, _ = trained_cvae
    earlier = {**results, "title": "compact", "scores": SCORES}
    wanted = CompareCVAEsConfig(
        dataset=("cifar10", config.dataset),
        data_dir=small_sets,
        runs_dir=tmp_path / "runs",
        out=tmp_path,
    )
    file = tmp_path / f"{config.run_name}.json"
    write_json(file, earlier)
    compare._check_comparable_with_earlier(wanted)
    earlier["images"] = earlier["images"] | {"test": 10_000}
    write_json(file, earlier)
    with pytest.raises(InputError, match=f"as in the results in {tmp_path}.*10000.*"):
        compare.compare(wanted)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", compare.EPOCHS)
def test_no_epochs_are_rejected_before_anything_is_trained(option):
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} of at least 1"):
        CompareCVAEsConfig(**{option: 0})


def test_comparison_is_not_for_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="for a comparison. Received: a TF_CONFIG"):
        compare.compare(CompareCVAEsConfig())


def test_each_variant_is_trained_evaluated_and_reported(tmp_path, monkeypatch):
    trained = []

    def train(cvae):
        trained.append(cvae)
        return {"saved_model": f"models/{cvae.run_name}/1"}

    def evaluate_relabelling(model, out, data_dir, classifiers):
        assert model == f"models/{out.parent.name}/1"
        assert classifiers == tmp_path / "evaluation_classifiers"
        write_json(out / "scores.json", SCORES)

    monkeypatch.setattr(compare, "train", train)
    monkeypatch.setattr(compare, "evaluate_relabelling", evaluate_relabelling)
    drawn = []
    monkeypatch.setattr(compare, "draw_figures", lambda *folders: drawn.append(folders))
    config = CompareCVAEsConfig(
        dataset=("mnist",), runs_dir=tmp_path, out=tmp_path / "out"
    )
    compare.compare(config)
    assert drawn == [(config.out, config.saved_models_dir)]
    assert len(trained) == 5 and all(cvae.resume for cvae in trained)
    for cvae, title in zip(trained, variants(config, "mnist"), strict=True):
        results = read_json(config.out / f"{cvae.run_name}.json")
        assert (results["title"], results["scores"]) == (title, SCORES)
    trained.clear()
    compare.compare(dataclasses.replace(config, train=False))
    assert not trained


def test_networks_can_be_chosen(tmp_path, monkeypatch):
    trained = []

    def train(cvae):
        trained.append(cvae.network)
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "train", train)
    config = CompareCVAEsConfig(
        dataset=("mnist",), network=("plain",), runs_dir=tmp_path, out=tmp_path
    )
    with pytest.raises(KeyboardInterrupt):
        compare.compare(config)
    assert trained == ["plain"]
