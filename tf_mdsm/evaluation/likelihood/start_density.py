"""The density of the points at which sampling starts: a mixture of Gaussians, in closed form."""

import numpy as np

from tf_mdsm.datasets.image_mixture import ImageMixture
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.starts import GaussianStart, IsotropicStart, MixtureStart, Start

__all__ = ["StartDensity"]


class StartDensity:
    """The density of a start's noisy images, as a mixture of Gaussians with shared components.

    Args:
        start: an `IsotropicStart`, `GaussianStart` or `MixtureStart` with a sigma above 0.
        image_shape: height, width, channels of the images.

    Attributes:
        sigma: the noise level of the start, in pixel units.

    Raises:
        InvalidArgument: for another start, which has no density of this form, or without noise.
    """

    def __init__(self, start: Start, image_shape: tuple[int, ...]):
        if not isinstance(start, IsotropicStart | GaussianStart | MixtureStart):
            requirement = "be isotropic, gaussian or mixture, whose density is known"
            raise InvalidArgument("start", requirement, type(start).__name__)
        if not start.sigma > 0:
            raise InvalidArgument("sigma", "be positive, or the start has no density", start.sigma)
        self.sigma = float(start.sigma)
        self._mixture = _mixture_of(start)
        mean = np.full(image_shape, 0.5) if isinstance(start, IsotropicStart) else start.mean
        self._mean = np.asarray(mean, np.float64).ravel()
        rank = self._mixture.rank
        components = np.zeros(0) if isinstance(start, IsotropicStart) else start.components
        self._components = np.asarray(components, np.float64).reshape(rank, self._mean.size)

    def log_density(self, images: np.ndarray) -> np.ndarray:
        """The logarithm of the density of noisy images [N, H, W, C], float64 [N]."""
        offset = np.asarray(images, np.float64).reshape(len(images), -1) - self._mean
        coordinates = offset @ self._components.T
        residuals = np.einsum("nd,nd->n", offset, offset) - (coordinates**2).sum(1)
        return self._mixture.log_density(
            coordinates, np.maximum(residuals, 0.0), size=self._mean.size, sigma=self.sigma
        )


def _mixture_of(start: IsotropicStart | GaussianStart | MixtureStart) -> ImageMixture:
    """The mixture of a start's images before the noise; one Gaussian is a mixture of one."""
    if isinstance(start, MixtureStart):
        return ImageMixture(
            weights=start.weights / start.weights.sum(),
            centers=start.centers,
            covariances=start.covariances,
            residual_variances=start.residual_variances,
        )
    if isinstance(start, IsotropicStart):
        variances, residual = np.zeros(0), 0.0
    else:
        residual = start.residual_variance
        variances = np.maximum(start.variances, residual)
    return ImageMixture(
        weights=np.ones(1),
        centers=np.zeros((1, len(variances))),
        covariances=np.diag(variances)[None],
        residual_variances=np.array([residual]),
    )
