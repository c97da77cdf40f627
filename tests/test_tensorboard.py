"""TensorBoard in a real browser: the page shows the runs, metrics and images."""

import re
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from tiny import tiny_config

from train_tf.distributed.launch import search_environments
from unet_tf.training import train

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a TensorBoard that shows one small run."""
    config = tiny_config(tmp_path_factory.mktemp("shown"))
    train(config)
    port = search_environments(1)[0]["KERASTUNER_ORACLE_PORT"]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", config.runs_dir]
    with subprocess.Popen([*command, "--port", port]) as process:
        address = f"http://localhost:{port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/data/environment").close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
        process.terminate()


def page(address, tab):
    """The HTML of a tab after the browser has rendered it."""
    process = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1600,6000",
            "--virtual-time-budget=60000",
            "--dump-dom",
            f"{address}/#{tab}",
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    return process.stdout


def test_first_page_shows_runs_metrics_and_images(address):
    html = page(address, "timeseries")
    for part in ("train", "validation"):
        assert f"unet_maxpool_transpose_dice/tensorboard/{part}" in html
    groups = re.findall(r'class="group-title"[^>]*>([^<]+)<', html)
    assert groups[1:] == ["images", "metrics", "training"]  # after "Pinned"
    assert "mean_iou" in html and "image_truth_prediction" in html
    assert html.count('alt="Image at step 2" src="data/plugin/timeseries') == 8
