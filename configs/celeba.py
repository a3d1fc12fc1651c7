"""CelebA at 32x32 pixels: the settings of CIFAR-10 with random flips (MDSM, section 4).

    python -m tf_mdsm.main --config=configs/celeba.py

Data: TensorFlow Datasets downloads them. The central square of 140x140 pixels is resized, as for
NCSN (Song and Ermon, 2019); the MDSM paper does not say how it crops.
Network: as configs/cifar.py.
Time: as many updates as configs/cifar.py. The time has not been measured here.
Result: none has been measured here.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
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
