"""Quick start: scikit-learn's 8x8 digits, U-Net energy, minutes on a laptop's CPU.

    python -m tf_mdsm.main --config=configs/digits.py
    python -m tf_mdsm.main --config=configs/digits.py --mode=sample

Data: 1,797 digits that scikit-learn contains; nothing is downloaded. One tenth are validation
images.
Network: U-Net energy |x - f(x)|^2 / (2 sigma0^2) with 24 channels.
Time: 1 to 2 minutes of training on two CPU cores (89 s measured on an AMD EPYC with AVX2), then
seconds for 64 samples.
Sampling: 9 gradient evaluations an image, from a mixture of Gaussians.
Result: the loss with EDM weighting falls from 255 to 45 (validation images: 44). 1,024 samples have
a Fréchet distance of 6.3 to 8.0 (three seeds) to the training images, in 64 features of a small
classifier, so it is not FID. With the ResNet of configs/digits_resnet.py it is 27.8 (21.7 to 32.4)
after 1.5 minutes of training. 180 validation images have 9.9; the estimate from fewer images is
biased upwards, so this number is not directly comparable with those of 1,024 samples. Source:
docs/results/samplers.md and docs/results/ablation.md.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="digits", name="", image_size=8, channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=64, spacing="geometric")
    config.noise.weighting = "edm"
    config.network.update(name="unet", channels=24, head="distance")
    config.network.unet.update(patch_size=1, num_resolutions=3, scale_input=True)
    config.optimizer.update(
        learning_rate=2e-3, warmup_steps=200, clip_norm=2_000.0, ema_momentum=0.999
    )
    config.training.update(
        batch_size=64,
        num_steps=1_200,
        checkpoint_every=500,
        log_every=50,
        validate_every=250,
        sample_every=1_000,
    )
    config.sampling.start = "mixture"
    return config
