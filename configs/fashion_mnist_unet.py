"""Fashion-MNIST with an energy made of a small U-Net: |x - f(x)|^2 / (2 sigma0^2).

    python -m tf_mdsm.main --config=configs/fashion_mnist_unet.py \
        --config.data.path=/usr/share/datasets/fashion-mnist
    python -m tf_mdsm.main --config=configs/fashion_mnist_unet.py --mode=sample

Half an hour of training on two CPU cores. The loss under EDM's weighting falls to 241 (held out
259), the paper's normalised loss of held-out images to 47. Samples of 9 gradients each come to 0.23
of the distance of those of configs/fashion_mnist_small.py after as long (docs/ablation.md). The
network works on 2x2 patches of the images, scaled by the noise that it finds in them, and bears
twice the learning rate; the weighting gives the large noise levels, which decide on a sample's
outline, their part of the loss.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.data.update(source="idx", name="", path="/usr/share/datasets/fashion-mnist", channels=1)
    config.noise.update(sigma_min=0.1, sigma_max=3.0, num_levels=128, spacing="geometric")
    config.noise.weighting = "edm"
    config.network.update(name="unet", channels=24, head="distance")
    config.network.unet.update(patch_size=2, num_resolutions=3, scale_input=True)
    config.optimizer.update(
        learning_rate=2e-3,
        final_learning_rate=1e-5,
        warmup_steps=200,
        clip_norm=2_000.0,
        ema_momentum=0.999,
    )
    config.training.update(
        batch_size=64,
        num_steps=14_800,
        checkpoint_every=1_000,
        log_every=50,
        validate_every=1_000,
        sample_every=0,
    )
    return config
