"""scikit-learn's 8x8 digits with the paper's architecture, to compare configs/digits.py with.

    python -m tf_mdsm.main --config=configs/digits_resnet.py
    python -m tf_mdsm.main --config=configs/digits_resnet.py --mode=sample

Data: as configs/digits.py.
Network: the paper's Res12 with quadratic head, 16 channels (paper: 64). Batch size and learning
rate are adapted to the size of the images, and the weights are averaged. The noise levels are those
of the paper for MNIST.
Time: two minutes of training on two CPU cores.
Result: the loss falls from 64, the number of pixels, to 11.4.
Fréchet distances: docs/results/ablation.md.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="digits", name="", image_size=8, channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=64, spacing="geometric")
    config.network.update(name="res12", channels=16)
    config.optimizer.update(learning_rate=1e-3, ema_momentum=0.999)
    config.training.update(
        batch_size=64,
        num_steps=3_000,
        checkpoint_every=500,
        log_every=50,
        validate_every=250,
        sample_every=1_000,
    )
    return config
