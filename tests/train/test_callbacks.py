"""Event files for TensorBoard: metrics, images, the graph, the options."""

from collections import defaultdict

import pytest
import tensorflow as tf


def events(folder):
    """(tag to list of (step, value)) of each event file folder, and the graphs."""
    found, graphs = defaultdict(list), 0
    for file in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            graphs += bool(event.graph_def)
            for value in event.summary.value:
                found[value.tag].append((event.step, tf.make_ndarray(value.tensor)))
    return found, graphs


@pytest.fixture
def resumed_folder(extended):
    """TensorBoard's folder of a run of two epochs that was extended to three."""
    return extended[0].run_folder / "tensorboard"


@pytest.mark.parametrize("part", ["train", "validation"])
def test_scalars_rise_by_one_an_epoch_also_across_a_resumption(part, resumed_folder):
    found, _ = events(resumed_folder / part)
    for name in ("loss", "accuracy", "mean_iou", "iou_pet", "iou_outline"):
        assert [step for step, _ in found[f"metrics/{name}"]] == [1, 2, 3], name


def test_learning_rate_is_there(resumed_folder):
    found, _ = events(resumed_folder / "train")
    rates = [float(rate) for _, rate in found["training/learning_rate"]]
    assert len(rates) == 3 and 0 < rates[-1] < max(rates) <= 0.01


def test_the_same_images_are_written_after_each_epoch(resumed_folder):
    found, _ = events(resumed_folder / "validation")
    images = found["images/image_truth_prediction"]
    assert [step for step, _ in images] == [1, 2, 3]
    shown = []
    for _, image in images:
        width, height, *encoded = image
        assert (int(width), int(height), len(encoded)) == (2 * 3 * 32, 2 * 32, 8)
        shown.append([tf.io.decode_png(one).numpy() for one in encoded])
    for first, last in zip(shown[0], shown[-1], strict=True):
        assert (first[:, :128] == last[:, :128]).all()  # image and truth
    assert any((a != b).any() for a, b in zip(shown[0], shown[-1], strict=True))


def test_graph_and_options_are_there(resumed_folder):
    _, graphs = events(resumed_folder / "train")
    assert graphs
    found, _ = events(resumed_folder / "validation")
    assert "_hparams_/session_start_info" in found


def test_table_of_options_is_left_to_tensorboard(resumed_folder):
    # It would show the figures of one run's list alone, also of runs of another kind.
    found, _ = events(resumed_folder / "validation")
    assert "_hparams_/experiment" not in found


def test_vae_s_images_and_histograms_follow_each_epoch(trained_cvae):
    config = trained_cvae[0]
    found, _ = events(config.run_folder / "tensorboard/validation")
    for title in (
        "images/reconstructions",
        "images/under_all_labels",
        "images/samples",
        "histograms/rate_style",
        "histograms/rate_details_2",
    ):
        assert [step for step, _ in found[title]] == [1, 2], (title, sorted(found))
    assert "_hparams_/session_start_info" in found
    _, graphs = events(config.run_folder / "tensorboard/train")
    assert graphs
