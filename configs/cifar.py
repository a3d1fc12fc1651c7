"""CIFAR-10 by the paper (MDSM, section 4: the published settings).

    python -m tf_mdsm.main --config=configs/cifar.py
    python -m tf_mdsm.main --config=configs/cifar.py --mode=sample

300,000 updates took the authors about 24 hours on two RTX 2080 Ti, with the best checkpoint
at about 270,000; they report FID 31.7 and inception score 8.31. TFDS downloads the data.
The defaults are these very settings, so what follows restates the choice of data only.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(source="tfds", name="cifar10", image_size=32, channels=3)
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    return config
