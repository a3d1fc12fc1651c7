"""A mixture of two Gaussians of tiny images."""

import numpy as np

from tf_mdsm.samplers.starts import MixtureStart

__all__ = ["SHAPE", "two_gaussians"]

SHAPE = (2, 3, 2)


def two_gaussians(sigma: float) -> MixtureStart:
    """Weights 0.3 and 0.7, two components, with noise of level sigma."""
    random = np.random.default_rng(4)
    directions, _ = np.linalg.qr(random.normal(size=(12, 12)))
    factors = random.normal(size=(2, 2, 2))
    return MixtureStart(
        weights=np.array([0.3, 0.7]),
        mean=random.normal(size=SHAPE) / 4 + 0.5,
        components=directions[:2].reshape(2, *SHAPE),
        centers=np.array([[-1.0, 0.5], [1.0, 0.0]]),
        covariances=factors @ factors.transpose(0, 2, 1) / 4 + 0.1 * np.eye(2),
        residual_variances=np.array([0.02, 0.2]),
        sigma=sigma,
    )
