"""Check SavedModels with the loader of TensorFlow Serving; see --help."""

import dataclasses
import sys
from pathlib import Path

import tyro

from train_tf import command_line
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class CheckServingConfig:
    """Check that SavedModels keep their promises, by TensorFlow Serving's loader."""

    models: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders NAME or NAME/VERSION; left out, all in --saved-models-dir."""

    saved_models_dir: Path = Path("saved_models")
    """Where SavedModels are."""

    load: bool = False
    """Send thousands of requests too: from many threads, and until memory would show
    that it leaks. Takes minutes."""


def main(config):
    from serve_tf.check import check_saved_model
    from train_tf.export import newest_version

    models = config.models or sorted(config.saved_models_dir.glob("*/"))
    if not models:
        raise InputError(
            f"Expected SavedModels in {config.saved_models_dir}. Found none."
        )
    broken = 0
    for model in models:
        version = newest_version(model)
        print(version, flush=True)
        try:
            for kept, said in check_saved_model(version, config.load):
                print(f"  {'ok' if kept else 'BROKEN'}: {said}", flush=True)
                broken += not kept
        except InputError as error:  # it cannot be loaded, or ended the whole process
            print(f"  BROKEN: {error}", flush=True)
            broken += 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(command_line.run(CheckServingConfig, main))
