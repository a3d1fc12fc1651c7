"""A mixture of Gaussians of a set of images: a crude density, from which sampling can start.

In the leading principal components of the images each Gaussian has a full covariance; beyond them
one variance. The form is that of mixtures of probabilistic principal component analysers (Tipping
and Bishop, 1999), with components that all Gaussians share.
"""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from tf_mdsm.datasets.pixels import flat_floats

__all__ = ["ImageMixture", "fit_mixture"]

# Images that are projected at a time, and images to which the mixture is fitted at most.
_BATCH_SIZE, _MAX_IMAGES = 1_024, 20_000
# One image in so many is held out: the likelihood of these chooses among mixtures.
_HELD_OUT_STRIDE = 10
# Images for each Gaussian, at least.
_MIN_IMAGES = 50
_MAX_ITERATIONS = 100


@dataclasses.dataclass(frozen=True)
class ImageMixture:
    """sum_k weights_k N(m + V' centers_k, V' covariances_k V + residual_variances_k (I - V' V)).

    m is the mean of the images, and the rows of V are their r leading principal components.

    Attributes:
        weights: of the K Gaussians, float32 [K]; their sum is 1.
        centers: means along the components, relative to m, float32 [K, r].
        covariances: along the components, float32 [K, r, r].
        residual_variances: variance along every other direction, float32 [K].
    """

    weights: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    residual_variances: np.ndarray

    @property
    def rank(self) -> int:
        """The number r of principal components."""
        return self.centers.shape[1]

    def log_density(
        self, coordinates: np.ndarray, residuals: np.ndarray, *, size: int, sigma: float
    ) -> np.ndarray:
        """Log density of images under the mixture with noise of level sigma, float64 [N].

        Args:
            coordinates: along the components, relative to m, [N, r].
            residuals: squared norms of what is orthogonal to the components, [N].
            size: number of values of an image.
            sigma: the noise level.
        """
        logs = self._log_joint(coordinates, residuals, size=size, sigma=sigma)
        return np.logaddexp.reduce(logs, axis=1)

    def gaussians_of(
        self, images: np.ndarray, mean: np.ndarray, components: np.ndarray
    ) -> np.ndarray:
        """The index of the Gaussian to which each image most probably belongs, int64 [N].

        Args:
            images: uint8, or float in [0, 1], [N, H, W, C].
            mean: m, [H, W, C].
            components: the principal components, [r or more, H, W, C].
        """
        places = np.arange(len(images))
        coordinates, squares = _project(images, places, mean, components[: self.rank])
        residuals = np.maximum(squares - (coordinates**2).sum(1), 0)
        return self._log_joint(coordinates, residuals, size=mean.size, sigma=0.0).argmax(axis=1)

    def _log_joint(
        self, coordinates: np.ndarray, residuals: np.ndarray, *, size: int, sigma: float
    ) -> np.ndarray:
        """Log of weight times density of each Gaussian, [N, K]; arguments as `log_density`."""
        rank = self.rank
        logs = np.empty((len(coordinates), len(self.weights)))
        for k, weight in enumerate(self.weights):
            covariance = self.covariances[k].astype(np.float64) + sigma**2 * np.eye(rank)
            factor = linalg.cholesky(covariance, lower=True)
            offset = linalg.solve_triangular(factor, (coordinates - self.centers[k]).T, lower=True)
            variance = self.residual_variances[k] + sigma**2
            logs[:, k] = np.log(weight) - 0.5 * (
                (offset**2).sum(0)
                + 2 * np.log(np.diag(factor)).sum()
                + residuals / variance
                + (size - rank) * np.log(variance)
                + size * np.log(2 * np.pi)
            )
        return logs


def fit_mixture(
    images: np.ndarray,
    mean: np.ndarray,
    components: np.ndarray,
    *,
    sigma: float,
    numbers: Sequence[int] = (1, 5, 10, 20, 50),
    ranks: Sequence[int] = (10, 20),
) -> ImageMixture:
    """Fits a mixture of Gaussians to images.

    The number of Gaussians, then the number of principal components, are those under which held-out
    images with noise of level sigma are most likely. Of more than 20,000 images that many are used,
    evenly spaced; so time and memory of the fit do not grow beyond them. From few images comes one
    Gaussian.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        mean: mean of the images, [H, W, C].
        components: their principal components, largest variance first, [r, H, W, C].
        sigma: noise level at which sampling will start, in pixel units.
        numbers: numbers of Gaussians to choose from; each Gaussian has at least 50 images.
        ranks: numbers of principal components to choose from.
    """
    used = min(len(images), _MAX_IMAGES)
    places = np.arange(used) * len(images) // used
    allowed = sorted({min(rank, len(components)) for rank in ranks})
    coordinates, squares = _project(images, places, mean, components[: allowed[-1]])
    fitted = np.arange(used) % _HELD_OUT_STRIDE != _HELD_OUT_STRIDE - 1
    held = ~fitted if used >= _HELD_OUT_STRIDE else fitted
    noisy, noisy_squares = _with_noise(coordinates[held], squares[held], mean.size, sigma)

    def fit(number: int, rank: int) -> ImageMixture:
        leading = coordinates[fitted, :rank]
        residuals = squares[fitted] - (leading**2).sum(1)
        return _fit(leading, np.maximum(residuals, 0) / max(mean.size - rank, 1), number)

    def held_out(mixture: ImageMixture) -> float:
        leading = noisy[:, : mixture.rank]
        residuals = noisy_squares - (leading**2).sum(1)
        return mixture.log_density(leading, residuals, size=mean.size, sigma=sigma).mean()

    different = len(np.unique(coordinates[fitted], axis=0))
    most = max(1, min(int(fitted.sum()) // _MIN_IMAGES, different))
    middle = allowed[len(allowed) // 2]
    best = max((fit(number, middle) for number in numbers if number <= most), key=held_out)
    others = (fit(len(best.weights), rank) for rank in allowed if rank != middle)
    return max([best, *others], key=held_out)


def _project(
    images: np.ndarray, places: np.ndarray, mean: np.ndarray, components: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the components, [n, r], and squared norms, [n], of images[places].

    Both are relative to the mean, in float64.
    """
    directions = components.reshape(len(components), mean.size).T
    coordinates, squares = np.empty((len(places), len(components))), np.empty(len(places))
    for first in range(0, len(places), _BATCH_SIZE):
        batch = flat_floats(images[places[first : first + _BATCH_SIZE]]) - mean.ravel()
        coordinates[first : first + _BATCH_SIZE] = batch @ directions
        squares[first : first + _BATCH_SIZE] = np.einsum("nd,nd->n", batch, batch)
    return coordinates, squares


def _with_noise(
    coordinates: np.ndarray, squares: np.ndarray, size: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and squared norms of images to which noise N(0, sigma^2 I) is added.

    Of the noise orthogonal to the components only two numbers matter: its part along the image,
    and its squared norm.
    """
    random = np.random.default_rng(0)
    rank = coordinates.shape[1]
    residuals = np.maximum(squares - (coordinates**2).sum(1), 0)
    noisy = coordinates + sigma * random.standard_normal(coordinates.shape)
    if size > rank:
        along = random.standard_normal(len(squares))
        across = random.chisquare(size - rank - 1, len(squares)) if size > rank + 1 else 0.0
        residuals = (np.sqrt(residuals) + sigma * along) ** 2 + sigma**2 * across
    return noisy, residuals + (noisy**2).sum(1)


def _fit(coordinates: np.ndarray, residuals: np.ndarray, number: int) -> ImageMixture:
    """A mixture of so many Gaussians, by expectation maximisation.

    Args:
        coordinates: of images along the components, [N, r].
        residuals: mean square of each image along a direction across the components, [N].
        number: number of Gaussians.
    """
    rank = coordinates.shape[1]
    smallest = 1e-6 * max(coordinates.var(axis=0).max(initial=0.0), 1e-6)
    if number == 1:
        center = coordinates.mean(axis=0)
        offset = coordinates - center
        return ImageMixture(
            weights=np.ones(1, np.float32),
            centers=np.asarray(center[None], np.float32),
            covariances=np.asarray(
                (offset.T @ offset / len(offset) + smallest * np.eye(rank))[None], np.float32
            ),
            residual_variances=np.asarray([residuals.mean()], np.float32),
        )
    # Imported here: scikit-learn takes its time to load.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(number, max_iter=_MAX_ITERATIONS, reg_covar=smallest, random_state=0)
    # The matrices are small: threads would wait for each other most of the time.
    with (
        threadpool_limits(1),
        warnings.catch_warnings(category=ConvergenceWarning, action="ignore"),
    ):
        model.fit(coordinates)  # Its time is limited: what it reaches is compared on other images.
    shares = model.predict_proba(coordinates)
    # A Gaussian of no image is left out.
    has_images = shares.sum(0) >= 1
    shares, means = shares[:, has_images], np.asarray(model.means_)[has_images]
    counts, covariances = shares.sum(0), np.asarray(model.covariances_)[has_images]
    # A Gaussian of few images is drawn towards the mean of all covariances, as if `rank` images
    # more had that one.
    shared = np.einsum("k,kij->ij", counts / counts.sum(), covariances)
    pull = (rank / (counts + rank))[:, None, None]
    return ImageMixture(
        weights=np.asarray(counts / counts.sum(), np.float32),
        centers=np.asarray(means, np.float32),
        covariances=np.asarray((1 - pull) * covariances + pull * shared, np.float32),
        residual_variances=np.asarray(shares.T @ residuals / counts, np.float32),
    )
