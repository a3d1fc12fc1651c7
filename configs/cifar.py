"""CIFAR-10 with the paper's settings (MDSM, section 4).

    python -m tf_mdsm.main --config=configs/cifar.py
    python -m tf_mdsm.main --config=configs/cifar.py --mode=sample

Data: TensorFlow Datasets downloads them.
Network: the paper's Res18 with quadratic head, 128 channels, 62.3 million parameters.
Time: 300,000 updates, which took the authors about 24 hours on two RTX 2080 Ti.
Result: the authors report FID 31.7 and Inception score 8.31, with the best checkpoint at about
270,000 updates. It has not been reproduced here.

The defaults of all settings but sampler and start are those of this run. The recipe repeats the
choice of data, and sets the paper's sampler and start.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="tfds", name="cifar10", image_size=32, channels=3)
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    return config
