"""The best linear VAE, in closed form: a baseline for networks.

A VAE with linear encoder and decoder and a Gaussian likelihood of one scale has its
optimum in the principal components (Tipping and Bishop 1999, "Probabilistic principal
component analysis").

Needs `pip install -r benchmarks/requirements.txt`.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line
from train_tf.data.datasets import labelled_datasets
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class LinearConfig:
    """Compute the -ELBO of linear VAEs on the test images, in nats per image."""

    dataset: Literal[*labelled_datasets()] = "mnist"
    """Images to fit and to test on."""

    components: tuple[int, ...] = (64, 256)
    """Numbers of latents. With one component per pixel and channel the model is a
    full-covariance Gaussian; its covariance is singular if some pixels are constant, as
    in MNIST."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared data sets; by default as for a training."""

    out: Path | None = None
    """The JSON file to write; by default results/linear_DATASET.json."""


def main(config):
    import numpy as np

    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise InputError(
            f"{error}: pip install -r benchmarks/requirements.txt"
        ) from error

    from cvae_tf.data import load_images, to_float
    from cvae_tf.likelihoods import bits_per_dimension
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    images = load_images(config.dataset, config.data_dir)
    train, validation, test = (
        to_float(split.images).numpy().reshape(len(split.images), -1).astype("float64")
        for split in (images.train, images.validation, images.test)
    )
    train = np.concatenate([train, validation])
    rows = {}
    for components in config.components:
        try:
            pca = PCA(components, svd_solver="covariance_eigh").fit(train)
            nats = -float(pca.score(test))
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InputError(
                f"Expected --components from 1 to {train.shape[1]}, and fewer if some "
                f"pixels are constant. Received: {components}. {error}"
            ) from error
        bits = bits_per_dimension(nats, images.image_shape, True)
        row = rows[str(components)] = {"negative_elbo": nats, "bits_per_dim": bits}
        row["full"] = components == train.shape[1]
        print(f"{components:5} latents: -ELBO {nats:.1f} nats, {bits:.3f} bits/dim")
    out = config.out or Path(f"results/linear_{config.dataset}.json")
    content = {"images": images.counts, "negative_log_likelihood_by_latents": rows}
    write_json(out, {**provenance(config), **content})


if __name__ == "__main__":
    sys.exit(command_line.run(LinearConfig, main))
