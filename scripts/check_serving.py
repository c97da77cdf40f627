"""Check SavedModels with the loader that TensorFlow Serving uses; see --help."""

import dataclasses
import sys
from pathlib import Path

import tyro

from train_tf import command_line
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class CheckServingConfig:
    """Check that SavedModels behave as documented, with TensorFlow Serving's loader."""

    models: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders saved_models/NAME or saved_models/NAME/VERSION; by default all in
    --saved-models-dir."""

    saved_models_dir: Path = Path("saved_models")
    """Folder of SavedModels."""

    stress_test: bool = False
    """Also send thousands of requests, to test concurrency and memory. Takes minutes.
    """


def main(config):
    from serve_tf.check import check_saved_model
    from train_tf.export import highest_version

    models = config.models or sorted(config.saved_models_dir.glob("*/"))
    if not models:
        raise InputError(
            f"Expected SavedModels in {config.saved_models_dir}. Found none."
        )
    failed = False
    for model in models:
        version = highest_version(model)
        print(version, flush=True)
        try:
            for passed, message in check_saved_model(version, config.stress_test):
                print(f"  {'ok' if passed else 'FAILED'}: {message}", flush=True)
                failed |= not passed
        except InputError as error:  # not loaded, or its process ended
            print(f"  FAILED: {error}", flush=True)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(command_line.run(CheckServingConfig, main))
