"""A small training in a process of its own, for tests that disturb it."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--filters=2", "--depth=2", "--image-size=32", "--epochs=4", "--name=small"]
SMALL += [f"--data-dir={ROOT / 'datasets'}"]
RESUMED = "same final weights after --resume"  # in the table


class Training:
    """The process of scripts/train_unet.py with a small UNet.

    Args:
        folder: its working directory.
        options: further options of the command.
    """

    def __init__(self, folder, *options):
        self.folder, self.run = folder, folder / "runs" / "small"
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "scripts/train_unet.py", *SMALL, *options],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, condition, seconds=300):
        """Wait until `condition()` is true; the training must then still be running."""
        deadline = time.monotonic() + seconds
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert self.process.poll() is None

    def end(self, seconds=300):
        """Wait for the end; returns exit status, standard output, standard error."""
        output, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, output, errors
