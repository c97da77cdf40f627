"""How far one gets with no network: the best linear VAE, in closed form.

A VAE whose encoder and decoder are linear and whose likelihood is a Gaussian of one
scale has its optimum in the principal components (Tipping and Bishop 1999,
"Probabilistic principal component analysis"). A network that does worse is none.

Needs `pip install -r benchmarks/requirements.txt`.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from train_tf import command_line
from train_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class LinearConfig:
    """Score probabilistic PCA on the test images, nats per image."""

    dataset: Literal["mnist", "cifar10"] = "mnist"
    """Which images."""

    components: tuple[int, ...] = (64, 256)
    """Numbers of latents; as many as an image has numbers make a Gaussian of full
    covariance, which images whose margins are always black do not have."""

    data_dir: Path | None = None
    """Folder of TFDS-prepared sets; left out, as for a training."""

    out: Path | None = None
    """Where the figures go; left out, results/linear_DATASET.json."""


def main(config):
    import numpy as np

    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise InputError(
            f"{error}: pip install -r benchmarks/requirements.txt"
        ) from error

    from cvae_tf.data import load_images, scaled
    from cvae_tf.likelihoods import bits_per_dimension
    from train_tf.files import write_json
    from train_tf.run.report import provenance

    images = load_images(config.dataset, config.data_dir)
    train, validation, test = (
        scaled(part.images).numpy().reshape(len(part.images), -1).astype("float64")
        for part in (images.train, images.validation, images.test)
    )
    train = np.concatenate([train, validation])
    figures = {}
    for components in config.components:
        try:
            pca = PCA(components, svd_solver="covariance_eigh").fit(train)
            nats = -float(pca.score(test))
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InputError(
                f"Expected --components from 1 to {train.shape[1]}, and less where the "
                f"margins are always black. Received: {components}. {error}"
            ) from error
        bits = bits_per_dimension(nats, images.image_shape, True)
        full = components == train.shape[1]
        figures[str(components)] = {
            "negative_elbo": nats,
            "bits_per_dim": bits,
            "full": full,
        }
        print(f"{components:5} latents: -ELBO {nats:.1f} nats, {bits:.3f} bits/dim")
    out = config.out or Path(f"results/linear_{config.dataset}.json")
    about = {**provenance(config), "images": images.counts}
    write_json(out, {**about, "negative log-likelihood, by latents": figures})


if __name__ == "__main__":
    sys.exit(command_line.run(LinearConfig, main))
