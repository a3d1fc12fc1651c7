"""CelebA at 32x32: CIFAR-10's settings with random flips (MDSM, section 4).

    python -m tf_mdsm.main --config=configs/celeba.py

TFDS downloads the data. The central 140x140 pixels are resized, as NCSN did (Song and Ermon,
2019); the paper does not say. As long a run as CIFAR-10's, and as little measured here.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(
        source="tfds",
        name="celeb_a",
        held_out_split="validation",
        image_size=32,
        channels=3,
        crop=140,
        flip=True,
    )
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    return config
