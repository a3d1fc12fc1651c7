"""Fashion-MNIST with a small network: garments in under half an hour on two CPU cores.

    python -m tf_mdsm.main --config=configs/fashion_mnist_small.py \
        --config.data.path=/usr/share/datasets/fashion-mnist
    python -m tf_mdsm.main --config=configs/fashion_mnist_small.py --mode=sample

Half an hour of training on two CPU cores, then seconds for 64 images (under three minutes by the
paper's chain), many of them garments one can name. The normalised loss falls from 1,024 to 61
(held out: 63). Network, batch and number of steps are smaller than in configs/fashion_mnist.py;
the range of the noise is the paper's: from its upper end few steps suffice (docs/samplers.md).
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(source="idx", name="", path="/usr/share/datasets/fashion-mnist", channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.network.update(name="res12", channels=16)
    config.optimizer.update(learning_rate=1e-3, final_learning_rate=1e-5, ema_momentum=0.999)
    config.training.update(
        batch_size=64,
        num_steps=8_000,
        checkpoint_every=1_000,
        log_every=50,
        validate_every=1_000,
        sample_every=0,
    )
    return config
