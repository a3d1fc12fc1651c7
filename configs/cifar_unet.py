"""CIFAR-10 with an energy made of a U-Net: what won on Fashion-MNIST, at CIFAR's size.

    python -m tf_mdsm.main --config=configs/cifar_unet.py
    python -m tf_mdsm.main --config=configs/cifar_unet.py --mode=sample

50.6 million parameters (the paper's network: 62.3). Beside configs/cifar.py: the network, with
attention at 16x16 pixels and below, flips, noise levels up to 3 with equal ratios, EDM's
weighting of the levels, averaged weights, a larger learning rate that rises over the first steps,
clipped gradients. It has not been trained: what such choices gain on Fashion-MNIST stands in
docs/ablation.md.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(source="tfds", name="cifar10", image_size=32, channels=3, flip=True)
    config.noise.update(sigma_min=0.05, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.noise.weighting = "edm"
    config.network.update(name="unet", channels=128, head="distance")
    config.network.unet.update(num_resolutions=4, num_blocks=2, attention_size=16, scale_input=True)
    config.optimizer.update(
        learning_rate=3e-4, warmup_steps=5_000, clip_norm=2_000.0, ema_momentum=0.9999
    )
    return config
