"""CIFAR-10 with a U-Net energy: the choices that were best on Fashion-MNIST, in a larger network.

    python -m tf_mdsm.main --config=configs/cifar_unet.py
    python -m tf_mdsm.main --config=configs/cifar_unet.py --mode=sample

Data: TensorFlow Datasets downloads them.
Network: U-Net with 128 channels, 50.6 million parameters (the paper's network: 62.3), with
self-attention at 16x16 pixels and below.
Time: not known. Six steps of 16 random images took 100 s of processor time on an AMD EPYC
(AVX-512), start and compilation included. So a step of 128 images takes at most 2.3 minutes of one
core, and a thousand steps at most 37 hours: this recipe is for an accelerator.
Result: none. It has not been trained. docs/results/ablation.md has what these choices gain on
Fashion-MNIST.

Other differences from configs/cifar.py: random flips, noise levels up to 3 with equal ratios, EDM
weighting, averaged weights, a larger learning rate with warm-up, gradient clipping, the default
sampler from a mixture of Gaussians, and a guide (`--config.guidance=2`).
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="tfds", name="cifar10", image_size=32, channels=3, flip=True)
    config.noise.update(sigma_min=0.05, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.noise.weighting = "edm"
    config.network.update(name="unet", channels=128, head="distance")
    config.network.unet.update(num_resolutions=4, num_blocks=2, attention_size=16, scale_input=True)
    config.optimizer.update(
        learning_rate=3e-4, warmup_steps=5_000, clip_norm=2_000.0, ema_momentum=0.9999
    )
    config.training.guide_step = 40_000
    config.sampling.start = "mixture"
    return config
