"""Photographs: an energy that is trained on small patches and restores photographs of any size.

    python -m tf_mdsm.main --config=configs/photos.py
    python -m tf_mdsm.main --config=configs/photos.py --config.data.source=folder \
        --config.data.path=DIR --workdir=runs/own_photos

Data: eleven photographs that scikit-image bundles, in gray; astronaut and camera are held out. The
second command trains on a folder of your own. A gray model restores color photographs channel by
channel. `--config.data.channels=3` trains in color: eleven photographs do not teach enough colors,
and photographs with others are damaged (docs/results/photographs.md).
Network: U-Net with 32 channels, 803,000 parameters, for images of any size.
Time: 50 to 100 minutes of training on one core of an AMD EPYC that other work used as well.
Result: under noise of 25 of 255 camera comes back with 29.4 dB, where BM3D, given the level, has
29.9 (docs/results/photographs.md). Missing pixels are filled in about as well as by biharmonic
inpainting.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="photographs", name="", image_size=64, channels=1)
    config.data.update(patches=True, flip=True, turn=True)
    config.noise.update(sigma_min=0.02, sigma_max=0.6, num_levels=128, spacing="geometric")
    config.noise.weighting = "edm"
    config.network.update(name="unet", channels=32, head="distance")
    config.network.unet.update(patch_size=2, num_resolutions=3, scale_input=True)
    config.optimizer.update(
        learning_rate=2e-3,
        final_learning_rate=1e-5,
        warmup_steps=200,
        clip_norm=2_000.0,
        ema_momentum=0.999,
    )
    config.training.update(
        batch_size=14,
        num_steps=14_000,
        denoiser_steps=5_000,
        checkpoint_every=1_000,
        log_every=50,
        validate_every=1_000,
        sample_every=0,
    )
    config.sampling.start = "isotropic"
    # The largest noise does not hide the contrast of a large hole, so restoring starts smooth.
    config.restoration.update(start="smooth", sigma_max=0.2, h0=1.0)
    return config
