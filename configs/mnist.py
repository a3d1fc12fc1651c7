"""MNIST by the paper: Fashion-MNIST's settings (MDSM, section 4 and its code).

    python -m tf_mdsm.main --config=configs/mnist.py

Needs a GPU, as configs/fashion_mnist.py does: 100,000 updates of nine million parameters, whose
time and result nobody has measured here. TFDS downloads the data.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(source="tfds", name="mnist", image_size=32, channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.network.update(name="res12", channels=64)
    config.optimizer.update(learning_rate=1e-4)
    config.training.update(num_steps=100_000)
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    return config
