"""Tables and figures of the UNet comparison."""

import dataclasses
from types import SimpleNamespace

import compare_unets as compare
import numpy as np
import pytest
from compare_unets import CompareUNetsConfig
from unet_tables import (
    ASSIGNMENT,
    GRID,
    costs_table,
    differences_table,
    effects_table,
    metrics_table,
    name_of,
)

from train_tf.devices import resolve_precision
from train_tf.errors import InputError
from train_tf.files import read_json, write_json
from unet_tf import report
from unet_tf.data import Split
from unet_tf.evaluation import METRICS


def results_of(variant, seed, mean_iou, mean_iou_per_image):
    """Results as `compare` writes them."""
    return {
        "run_name": name_of(variant, seed),
        "config": {"seed": seed, "name": name_of(variant, seed), "batch_size": 8},
        "command": "python experiments/compare_unets.py",
        "images": {"train": 9, "validation": 3, "test": 4},
        "precision": resolve_precision("auto"),
        "epochs": 2,
        "parameters": 1234,
        "macs": 5_600_000_000,
        "images_per_second": 20.0,
        "minutes": 7.0,
        "metrics": dict.fromkeys(METRICS, 0.5) | {"mean_iou": mean_iou},
        "mean_iou_per_image": mean_iou_per_image,
        "history": [
            {"epoch": n, "mean_iou": n / 9, "val_mean_iou": n / 10} for n in (1, 2)
        ],
    }


@pytest.fixture
def folder(tmp_path):
    """The results of two networks with two seeds each."""
    first, second = ASSIGNMENT[0], ASSIGNMENT[1]
    for variant, seed, mean_iou, per_image in (
        (first, 0, 0.60, [0.5, 0.6, 0.7, 0.6]),
        (first, 1, 0.62, [0.5, 0.6, 0.8, 0.6]),
        (second, 0, 0.63, [0.6, 0.6, 0.7, 0.6]),
        (second, 1, 0.66, [0.6, 0.6, 0.8, 0.6]),
    ):
        results = results_of(variant, seed, mean_iou, per_image)
        write_json(tmp_path / f"{results['run_name']}.json", results)
    write_json(tmp_path / "unet_maxpool_transpose_bce_dice.json", {"another": "loss"})
    return tmp_path


def test_pairs_of_the_assignment_are_part_of_the_grid():
    assert len(set(GRID)) == 8 and set(ASSIGNMENT) <= set(GRID)
    assert name_of(ASSIGNMENT[3], 0) == "unet_strided_upsample_dice"


def test_results_of_train_unet_alone_are_no_comparison(tmp_path):
    results = results_of(ASSIGNMENT[0], 0, 0.6, [0.5])
    del results["metrics"]
    write_json(tmp_path / f"{results['run_name']}.json", results)
    assert compare.read_trained(tmp_path) == {}
    with pytest.raises(InputError, match="Expected results of compare_unets.py"):
        compare.draw_figures(tmp_path, tmp_path)


BCE, DICE = "max-pool, transpose, BCE", "max-pool, transpose, Dice"


def test_tables_have_means_over_seeds_and_differences(folder):
    trained = compare.read_trained(folder)
    head, *rows = metrics_table(trained)
    assert [row[0] for row in rows] == [BCE, DICE]
    assert rows[0][1:3] == ("0.5000 ± 0.0000", "0.6100 ± 0.0141")
    # One of four images is better by a tenth; some resamples leave it out.
    _, row = differences_table(trained)
    assert row == (DICE, "+0.0250", "+0.0000 to +0.0750", 2)
    _, row = effects_table(trained)
    assert row[:4] == ("Dice for BCE", 2, "+0.0000 ± 0.0000", "+0.0350 ± 0.0071")
    assert [*costs_table(trained)][1][1:] == (2, "1,234", "5.60 G", "20.0", "7.0")


def test_only_results_of_the_same_seed_are_compared(folder):
    # A third seed of the second variant.
    results = results_of(ASSIGNMENT[1], 2, 0.9, [0.9, 0.9, 0.9, 0.9])
    write_json(folder / f"{results['run_name']}.json", results)
    trained = compare.read_trained(folder)
    assert [*differences_table(trained)][1][1:] == ("+0.0250", "+0.0000 to +0.0750", 2)
    assert [*effects_table(trained)][1][:2] == ("Dice for BCE", 2)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"images": {"train": 9, "validation": 3, "test": 5}},
        {"batch_size": 9},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_trainings_that_are_not_alike_are_not_compared(change, folder):
    results = results_of(ASSIGNMENT[2], 0, 0.9, [0.9, 0.9, 0.9, 0.9])
    (results["config"] if "batch_size" in change else results).update(change)
    write_json(folder / f"{results['run_name']}.json", results)
    with pytest.raises(
        InputError, match=f"the same {next(iter(change))}.*another --out"
    ):
        compare.read_trained(folder)


def test_networks_without_a_seed_in_common_are_not_compared_pairwise(folder):
    results = results_of(ASSIGNMENT[2], 7, 0.9, [0.9, 0.9, 0.9, 0.9])
    write_json(folder / f"{results['run_name']}.json", results)
    trained = compare.read_trained(folder)
    title = "strided, transpose, BCE"
    assert title in [row[0] for row in metrics_table(trained)]
    assert title not in [row[0] for row in differences_table(trained)]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, instead of files."""
    drawn = []
    for module in (compare, report):
        monkeypatch.setattr(module, "save_figure", lambda x, path: drawn.append(x))
    return drawn


def test_curves_show_the_histories(folder, figures):
    compare.draw_curves("curves.png", compare.read_trained(folder))
    first, second, *others = figures[0].axes
    assert first.get_title() == "max-pool, transpose, BCE" and not others
    lines = [line.get_ydata() for line in second.lines]
    assert np.allclose(lines, 2 * [[1 / 9, 2 / 9], [1 / 10, 2 / 10]])  # of two seeds


def test_predictions_are_in_the_row_of_their_network(figures):
    masks = np.zeros((2, 4, 4, 1), "uint8")
    predicted = {"correct, of course": masks[..., 0], "wrong": masks[..., 0] + 1}
    images, colours = np.full((2, 4, 4, 3), 7, "uint8"), ((1, 2, 3), (9, 8, 7))
    report.draw_predictions("x.png", images, masks, predicted, ("a", "b"), colours)
    rows = [figures[0].axes[place : place + 2] for place in (0, 2, 4, 6)]
    drawn = [[axis.images[0].get_array()[0, 0].tolist() for axis in x] for x in rows]
    assert [one for one, _ in drawn] == [other for _, other in drawn]
    assert [x for x, _ in drawn] == [[7, 7, 7], [1, 2, 3], [1, 2, 3], [9, 8, 7]]
    labels = ["image", "truth", "correct,\nof course", "wrong"]
    assert [row[0].get_ylabel() for row in rows] == labels
    titles = ["", "", "mean IoU 1.00", "mean IoU 0.00"]
    assert [row[1].get_title() for row in rows] == titles


def test_close_up_shows_the_pet_s_probability_around_its_outline(figures):
    generator = np.random.default_rng(0)
    masks = np.zeros((2, 64, 64, 1), "uint8")
    masks[:, 20:30, 20:30] = 2
    images = generator.integers(0, 255, (2, 64, 64, 3), "uint8")
    split = Split(images, masks, np.array(["a", "b"]))
    probabilities = {x: generator.random((2, 64, 64, 3)) for x in ASSIGNMENT[:2]}
    compare.draw_close_up("x.png", split, probabilities, side=8)
    images = [axis.images[0].get_array() for axis in figures[0].axes]
    assert len(images) == 6 and images[0].shape == (8, 8, 3)
    windows = np.lib.stride_tricks.sliding_window_view
    for image, variant in zip(images[2::2], ASSIGNMENT, strict=False):
        of_pet = probabilities[variant][0, 15:35, 15:35, 0]
        assert (windows(of_pet, (8, 8)) == image).all((2, 3)).any()


@pytest.fixture
def trained(monkeypatch):
    """The configs that are trained, instead of training."""
    configs, drawn = [], []

    def train(unet):
        configs.append(unet)
        variant = (unet.down, unet.up, unet.loss)
        results = results_of(variant, unet.seed, 0.5, [0.5] * 4)
        return {**results, "epochs": unet.epochs, "saved_model": f"{unet.name}/1"}

    data = SimpleNamespace(counts={"train": 9, "validation": 3, "test": 4})
    monkeypatch.setattr(compare, "train", train)
    monkeypatch.setattr(compare, "load_data", lambda unet: data)
    monkeypatch.setattr(compare, "evaluate", lambda model, _: {"evaluated": model})
    monkeypatch.setattr(compare, "draw_figures", lambda *folders: drawn.append(folders))
    return configs


def test_each_network_is_trained_with_each_seed_and_evaluated(trained, tmp_path):
    config = CompareUNetsConfig(seeds=(0, 3), epochs=2, out=tmp_path)
    compare.compare(config)
    names = [name_of(variant, seed) for seed in (0, 3) for variant in ASSIGNMENT]
    assert [unet.run_name for unet in trained] == names
    assert all(unet.resume and unet.epochs == 2 for unet in trained)
    for name in names:
        assert read_json(tmp_path / f"{name}.json")["evaluated"] == f"{name}/1"
    trained.clear()
    compare.compare(dataclasses.replace(config, train=False))
    assert not trained


def test_options_not_comparable_with_earlier_results_are_rejected_before_training(
    trained, folder
):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    config = CompareUNetsConfig(seeds=(0,), epochs=3, out=folder)
    with pytest.raises(InputError, match="the same epochs.*another --out"):
        compare.compare(config)
    assert not trained and before == {file: file.read_bytes() for file in before}


def test_run_longer_than_requested_is_rejected(trained, tmp_path):
    place = tmp_path / "runs" / name_of(ASSIGNMENT[3], 0)
    write_json(place / "results.json", {"epochs": 40})
    config = CompareUNetsConfig(runs_dir=tmp_path / "runs", epochs=5, out=tmp_path)
    with pytest.raises(InputError, match=f"at most 5 epochs in {place}. It has 40"):
        compare.compare(config)
    assert not trained


def test_comparison_is_rejected_as_one_of_several_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="for a comparison. Received: a TF_CONFIG"):
        compare.compare(CompareUNetsConfig())
