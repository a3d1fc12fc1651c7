"""Fashion-MNIST by the paper (MDSM, section 4 and its code), on the training split.

    python -m tf_mdsm.main --config=configs/fashion_mnist.py

Needs a GPU: 100,000 updates of a network with nine million parameters, whose time and result
nobody has measured here. TFDS downloads the data; launch/prepare_fashion_mnist.py takes them
from Debian's package instead.
(The authors' loader read the 10,000 test images; this one trains on the 60,000.)
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(source="tfds", name="fashion_mnist", image_size=32, channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.network.update(name="res12", channels=64)
    config.optimizer.update(learning_rate=1e-4)
    config.training.update(num_steps=100_000)
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    return config
