"""Comparisons say what the networks' own figures say, no more."""

import numpy as np
import pytest
from PIL import Image

from train_tf.errors import InputError
from train_tf.files import write_json
from unet_tf import compare
from unet_tf.compare import FIGURES, GRID, PAIRS
from unet_tf.data import Part, load_photographs


def written(parts, seed, mean_iou, ious):
    """What `compare` writes of a network."""
    return {
        "config": {"seed": seed, "name": compare.name_of(parts, seed)},
        "command": "python scripts/compare_unets.py",
        "images": {"train": 9, "validation": 3, "test": 4},
        "epochs": 2,
        "parameters": 1234,
        "multiplications": 5_600_000_000,
        "images_per_second": 20.0,
        "minutes": 7.0,
        "figures": dict.fromkeys(FIGURES, 0.5) | {"mean_iou": mean_iou},
        "ious": ious,
        "history": [
            {"epoch": n, "mean_iou": n / 9, "val_mean_iou": n / 10} for n in (1, 2)
        ],
    }


@pytest.fixture
def folder(tmp_path):
    """The results of two networks with two seeds each."""
    first, second = PAIRS[0], PAIRS[1]
    for parts, seed, mean_iou, ious in (
        (first, 0, 0.60, [0.5, 0.6, 0.7, 0.6]),
        (first, 1, 0.62, [0.5, 0.6, 0.8, 0.6]),
        (second, 0, 0.63, [0.6, 0.6, 0.7, 0.6]),
        (second, 1, 0.66, [0.6, 0.6, 0.8, 0.6]),
    ):
        one = written(parts, seed, mean_iou, ious)
        write_json(tmp_path / f"{one['config']['name']}.json", one)
    write_json(tmp_path / "unet_maxpool_transpose_bce_dice.json", {"another": "loss"})
    return tmp_path


def test_pairs_of_the_assignment_are_part_of_the_grid():
    assert len(set(GRID)) == 8 and set(PAIRS) <= set(GRID)
    assert compare.name_of(PAIRS[3], 0) == "unet_strided_upsample_dice"


def test_results_of_train_unet_alone_are_no_comparison(tmp_path):
    one = written(PAIRS[0], 0, 0.6, [0.5])
    del one["figures"]
    write_json(tmp_path / f"{one['config']['name']}.json", one)
    assert compare.read_trained(tmp_path) == {}
    with pytest.raises(InputError, match="Expected results of compare_unets.py"):
        compare.report(tmp_path, tmp_path)


def test_report_has_means_over_seeds_and_differences(folder):
    text = compare.as_markdown(compare.read_trained(folder))
    assert "| max-pool, transpose, BCE | 0.5000 ± 0.0000 | 0.6100 ± 0.0141 |" in text
    # One of four photographs is better by a tenth; in some resamples it is left out.
    assert "Dice: +0.0250 (+0.0000 to +0.0750), 2 seeds\n" in text
    assert "| Dice for BCE, 2 pairs | +0.0000 ± 0.0000 | +0.0350 ± 0.0071 |" in text
    assert "- Dice for BCE, 2 pairs: raises mean IoU in each." in text
    assert "strided" not in text
    assert text.count("\n    python scripts/compare_unets.py\n") == 1
    assert "| 2 | 1,234 | 5.60 G | 20.0 | 7.0 |" in text


def test_only_what_has_the_same_seed_is_compared(folder):
    one = written(PAIRS[1], 2, 0.9, [0.9, 0.9, 0.9, 0.9])  # a third seed of the second
    write_json(folder / f"{one['config']['name']}.json", one)
    text = compare.as_markdown(compare.read_trained(folder))
    assert "- max-pool, transpose, Dice: +0.0250 (+0.0000 to +0.0750)" in text
    assert "| Dice for BCE, 2 pairs |" in text


@pytest.mark.parametrize(
    "change", [{"epochs": 3}, {"images": {"train": 9, "validation": 3, "test": 5}}]
)
def test_trainings_that_are_not_alike_are_not_compared(change, folder):
    one = written(PAIRS[2], 0, 0.9, [0.9, 0.9, 0.9, 0.9]) | change
    write_json(folder / f"{one['config']['name']}.json", one)
    with pytest.raises(InputError, match=f"equal {next(iter(change))}.*Give --out"):
        compare.read_trained(folder)


def test_networks_without_a_seed_in_common_are_not_compared_pairwise(folder):
    one = written(PAIRS[2], 7, 0.9, [0.9, 0.9, 0.9, 0.9])
    write_json(folder / f"{one['config']['name']}.json", one)
    text = compare.as_markdown(compare.read_trained(folder))
    assert "| strided, transpose, BCE | 0.5000 |" in text
    assert "- strided, transpose, BCE" not in text


def test_change_that_goes_either_way_is_told_as_such(folder):
    one = written(PAIRS[1], 1, 0.61, [0.6, 0.6, 0.8, 0.6])  # below the first's 0.62
    write_json(folder / f"{one['config']['name']}.json", one)
    text = compare.as_markdown(compare.read_trained(folder))
    assert "- Dice for BCE, 2 pairs: no figure goes the same way in all." in text


def test_curves_are_drawn(folder):
    compare.draw_curves(folder / "curves.png", compare.read_trained(folder))
    assert Image.open(folder / "curves.png").width > 500


def test_photographs_are_drawn_with_what_networks_make_of_them(tmp_path):
    lot = np.random.default_rng(0)
    masks = np.zeros((2, 64, 64, 1), "uint8")
    masks[:, 20:30, 20:30] = 2
    photos = lot.integers(0, 255, (2, 64, 64, 3), "uint8")
    part = Part(photos, masks, np.array(["a", "b"]))
    probabilities = {parts: lot.random((2, 64, 64, 3)) for parts in PAIRS[:2]}
    compare.draw_photographs(tmp_path / "a.png", part, probabilities)
    compare.draw_close_up(tmp_path / "b.png", part, probabilities)
    assert Image.open(tmp_path / "a.png").width > Image.open(tmp_path / "b.png").width


def test_saved_model_is_looked_at_as_it_was_tested(trained):
    config, results, _ = trained
    looked_at = compare.look_at(results["saved_model"], load_photographs(config))
    figures, ious = looked_at["figures"], looked_at["ious"]
    assert FIGURES.keys() <= figures.keys()
    for name in ("accuracy", "mean_iou", "iou_outline"):
        assert figures[name] == pytest.approx(results["test"][name], abs=1e-3)
    assert len(ious) == results["images"]["test"] and 0 < np.mean(ious) < 1
    assert 0 < figures["calibration_error"] < 1 > figures["dice"] > figures["mean_iou"]


def test_mean_dice_by_hand():
    confusion = np.array([[3, 1], [2, 4]])
    assert compare.mean_dice(confusion) == pytest.approx((6 / 9 + 8 / 11) / 2)


def test_calibration_error_by_hand():
    probabilities = np.array([[[[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]]])
    truth = np.array([[[0, 1, 0, 255]]])
    # Sure by 0.9 and right in half of them; sure by 0.6 and right: 2/3 and 1/3 of all.
    expected = 2 / 3 * 0.4 + 1 / 3 * 0.4
    assert compare.calibration_error(probabilities, truth) == pytest.approx(expected)


def test_checkerboard_is_seen_and_nothing_else():
    rows, columns = np.mgrid[:6, :6]
    board = ((rows + columns) % 2).astype(float)[None, ..., None]
    assert compare.checkerboard(board) == 0.5
    assert compare.checkerboard(board * 0.1) == pytest.approx(0.05)
    slope = (0.1 * rows + 0.03 * columns)[None, ..., None]
    assert compare.checkerboard(slope) == pytest.approx(0)
