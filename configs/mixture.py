"""Eight Gaussians in the plane: a known density, to compare the learned energy with.

    python -m tf_mdsm.main --config=configs/mixture.py
    python -m tf_mdsm.main --config=configs/mixture.py --mode=sample

Data: computed points.
Network: "dense", fully connected, 128 units wide.
Time: less than a minute of training on two CPU cores.
Result: two energy landscapes in samples/, the learned one and the true one. The relative error of
the learned score is 11 % (docs/results/agreement.md). With the weighting "score", the exact optimum
of the loss is the energy of the smoothed data, so the two can be compared. Samples follow the
smoothed density, which is broader than the data.

Noise levels up to 0.5 also train the energy far from the data, so that Langevin chains that start
there return. With noise up to 0.3, some of them escape. The paper has no such data set: all
settings are our own.
"""

from ml_collections import ConfigDict

from tf_mdsm.config import default_config


def get_config() -> ConfigDict:
    """Returns the default settings with the changes of this recipe."""
    config = default_config()
    config.data.update(source="synthetic", name="mixture", image_size=1, channels=2)
    config.noise.update(
        sigma_min=0.03, sigma_max=0.5, num_levels=16, spacing="geometric", weighting="score"
    )
    config.network.update(name="dense", channels=128)
    config.optimizer.update(learning_rate=1e-2, ema_momentum=0.999)
    config.training.update(
        batch_size=512,
        num_steps=4_000,
        steps_per_call=100,
        checkpoint_every=1_000,
        validate_every=500,
        sample_every=1_000,
        preview_images=512,
    )
    config.sampling.update(
        num_samples=1_000,
        batch_size=1_000,
        step_size=0.02,
        initial_temperature=1.0,
        hot_steps=0,
        cooling_steps=3_000,
        final_steps=0,
        denoise=False,
    )
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    return config
