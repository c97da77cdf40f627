"""The comparison of VAEs says what was measured of each."""

import dataclasses

import compare_cvaes as compare
import pytest
from compare_cvaes import as_markdown, forms, read_trained, report
from PIL import Image

from cvae_tf.config import CompareCVAEsConfig, CVAEConfig
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


def test_report_has_the_figures_of_each_set_and_the_seed_s():
    one = {
        "title": "compact",
        "config": {"dataset": "mnist", "likelihood": "gaussian", "name": "small"},
        "images": {"train": 57_000, "validation": 3_000, "test": 10_000},
        "parameters": 1_390_000,
        "latents": 992,
        "rate_per_latent": [[0.1] * 12, [0.2] * 4, [0.3] * 4],
        "epochs": 8,
        "minutes": 28.4,
        "test": TEST,
        "scores": SCORES,
    }
    text = as_markdown([one])
    assert "Of 10,000 test images; " in text
    assert "reads 99.6% of the real" in text
    assert (
        "| compact | 1.39M | 12 + 980 | 8 | 28 | -2800.0 | -3900.0 | 1100.0 | 3.000 | "
        "99.80% | 0.10% | width 0.80 | 0.96 | 50.0% |"
    ) in text
    assert (
        "| the seed's notebook, training batches | 20.1M | 256 | 30 | | -961.7 |"
        in text
    )
    assert "cifar10" not in text
    assert "(small/wrong_labels.png)" in text and "(cvae_curves.png)" in text
    columns = {row.count("|") for row in text.splitlines() if row.startswith("|")}
    assert columns == {15}


def test_report_is_written_from_what_was_trained(
    trained_cvae, small_sets, tmp_path, monkeypatch
):
    monkeypatch.setattr(compare, "BUNDLED", small_sets)
    config, results, _ = trained_cvae
    one = {"title": "compact", **results, "scores": SCORES}
    write_json(tmp_path / f"{config.name}.json", one)
    unfinished = {"config": results["config"]}  # of train_cvae.py alone
    write_json(tmp_path / "cvae_cifar10_compact_gaussian.json", unfinished)
    assert [x["config"]["name"] for x in read_trained(tmp_path)] == [config.name]
    text = report(tmp_path, config.saved_models_dir)
    assert text == (tmp_path / "cvaes.md").read_text()
    assert f"{results['test']['negative_elbo']:.1f}" in text
    for name in ("wrong_labels", "all_labels"):
        with Image.open(tmp_path / config.name / f"{name}.png") as picture:
            assert picture.width > 300
    with Image.open(tmp_path / "cvae_curves.png") as picture:
        assert picture.width > 600
    with pytest.raises(InputError, match="Expected results of compare_cvaes.py in"):
        report(tmp_path / config.name, config.saved_models_dir)


def test_forms_are_trainings_with_names_of_their_own():
    options = forms(CompareCVAEsConfig(), "mnist").values()
    configs = [CVAEConfig(**one) for one in options]
    assert [config.name for config in configs] == [
        "cvae_mnist_compact_gaussian",
        "cvae_mnist_compact_gaussian_no_decoder_label",
        "cvae_mnist_compact_discretized_logistic",
        "cvae_mnist_resnet18_gaussian_no_decoder_label",
    ]
    assert (configs[3].batch_size, configs[3].learning_rate) == (32, 1e-4)


def test_results_of_other_images_are_not_replaced(trained_cvae, small_sets, tmp_path):
    config, results, _ = trained_cvae
    told = {**results, "title": "compact", "scores": SCORES}
    wanted = CompareCVAEsConfig(
        dataset=("cifar10", config.dataset),
        data_dir=small_sets,
        runs_dir=tmp_path / "runs",
        out=tmp_path,
    )
    write_json(tmp_path / f"{config.name}.json", told)
    compare._check_goes_with_earlier(wanted)
    told["images"] = told["images"] | {"test": 10_000}
    write_json(tmp_path / f"{config.name}.json", told)
    with pytest.raises(InputError, match=f"as in the results in {tmp_path}.*10000.*"):
        compare.compare(wanted)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", ["plain_epochs", "seed_form_epochs"])
def test_epochs_that_are_none_are_refused_before_anything_is_trained(option):
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} of at least 1"):
        CompareCVAEsConfig(**{option: 0})


def test_comparison_is_no_work_for_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="for a comparison. Received: a TF_CONFIG"):
        compare.compare(CompareCVAEsConfig())


def test_each_form_is_trained_judged_and_told(tmp_path, monkeypatch):
    trained = []

    def train(own):
        trained.append(own)
        told = {"config": {"name": own.name}, "saved_model": f"models/{own.name}/1"}
        return told

    def judge(model, out, data_dir, judges):
        assert model == f"models/{out.parent.name}/1" and judges == tmp_path / "judges"
        write_json(out / "scores.json", SCORES)

    monkeypatch.setattr(compare, "train", train)
    monkeypatch.setattr(compare, "evaluate_relabelling", judge)
    monkeypatch.setattr(compare, "report", lambda out, models: (out, models))
    config = CompareCVAEsConfig(
        dataset=("mnist",), runs_dir=tmp_path, out=tmp_path / "out"
    )
    assert compare.compare(config) == (config.out, config.saved_models_dir)
    assert len(trained) == 4 and all(own.resume for own in trained)
    for own, title in zip(trained, forms(config, "mnist"), strict=True):
        told = read_json(config.out / f"{own.name}.json")
        assert (told["title"], told["scores"]) == (title, SCORES)
    trained.clear()
    compare.compare(dataclasses.replace(config, train=False))
    assert not trained
