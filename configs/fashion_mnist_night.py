"""Fashion-MNIST for a longer time: a wider network than that of configs/fashion_mnist_unet.py.

    python -m tf_mdsm.main --config=configs/fashion_mnist_night.py
    python -m tf_mdsm.main --config=configs/fashion_mnist_night.py --mode=sample

Data: as configs/fashion_mnist_unet.py, Debian's package dataset-fashion-mnist.
Network: U-Net with 32 channels, 803,268 parameters.
Time: 79 minutes of training on two cores of an Intel Xeon (AVX-512) beside other work. A step takes
1.5 times one of that recipe (168 and 114 ms, medians of three rounds of 12 steps, in turns, these
two cores idle). There are 1.6 times as many.
Result, seed 0: 1,024 samples of 9 gradient evaluations have a Fréchet distance of 1.07 in features
of a small classifier (not FID; test images 0.85), 10,000 samples 0.44 (0.07): as good as the best
trainings of that recipe. Without a guide, by Heun's method from one Gaussian, it has 3.38 where
that recipe has 4.92. With `--config.guidance=2` precision is 0.87 (test images 0.89) at a distance
of 1.55. Source: docs/results/samplers.md.

Other differences from configs/fashion_mnist_unet.py: 24,000 steps, a longer warm-up, averages over
twice as many steps, and a guide after 3,000. The learning rate is three quarters of that recipe's
2e-3, with which a network of 64 channels left the finite numbers.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="idx", name="", path="/usr/share/datasets/fashion-mnist", channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.noise.weighting = "edm"
    config.network.update(name="unet", channels=32, head="distance")
    config.network.unet.update(patch_size=2, num_resolutions=3, scale_input=True)
    config.optimizer.update(
        learning_rate=1.5e-3,
        final_learning_rate=1e-5,
        warmup_steps=400,
        clip_norm=2_000.0,
        ema_momentum=0.9995,
    )
    config.training.update(
        batch_size=64,
        num_steps=24_000,
        guide_step=3_000,
        checkpoint_every=1_000,
        log_every=50,
        validate_every=1_000,
        sample_every=0,
    )
    # The two-step method, with the guide in its three steps from 1.85 to 0.51: 9 gradient
    # evaluations.
    config.sampling.update(sampler="multistep", start="mixture", num_levels=6, rho=3.0)
    config.sampling.update(guide_sigma_min=0.3, guide_sigma_max=2.5)
    config.guidance = 3.0
    return config
