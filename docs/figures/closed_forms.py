"""Closed forms behind the figures: smoothed mixtures, what training learns of them, shells."""

import dataclasses

import numpy as np
from scipy import integrate, special, stats

__all__ = [
    "GaussianMixture",
    "best_error",
    "blend_error",
    "blended",
    "distance_density",
    "energy_along_a_line",
    "level_shares",
    "mixed_energy",
    "one_level_error",
    "seen_noise",
    "shell_density",
]

# Quantiles over which the error of a blend is averaged.
_QUANTILES = 2_000


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
    """Gaussians of one width and of equal weights, as clean data and under Gaussian noise.

    Under noise of level sigma each Gaussian has the variance std^2 + sigma^2.

    Attributes:
        means: [n, d].
        std: standard deviation of each Gaussian along every axis.
    """

    means: np.ndarray
    std: float

    def energy(self, points: np.ndarray, sigma: float) -> np.ndarray:
        """-log p_sigma of points [N, d], its constant included: [N]."""
        exponents, variance = self._exponents(points, sigma)
        log_constant = np.log(len(self.means)) + points.shape[1] / 2 * np.log(2 * np.pi * variance)
        return log_constant - special.logsumexp(exponents, axis=1)

    def score(self, points: np.ndarray, sigma: float) -> np.ndarray:
        """The gradient of log p_sigma at points [N, d]: [N, d]."""
        exponents, variance = self._exponents(points, sigma)
        return (special.softmax(exponents, axis=1) @ self.means - points) / variance

    def denoised(self, points: np.ndarray, sigma: float) -> np.ndarray:
        """The mean of the clean points that noisy points [N, d] may come from (Tweedie)."""
        return points + sigma**2 * self.score(points, sigma)

    def _exponents(self, points: np.ndarray, sigma: float) -> tuple[np.ndarray, float]:
        """The exponent of each Gaussian at each point, [N, n], and the Gaussians' variance."""
        variance = self.std**2 + sigma**2
        squares = np.sum((points[:, None] - self.means) ** 2, axis=2)
        return -squares / (2 * variance), variance


def level_shares(
    mixture: GaussianMixture, points: np.ndarray, *, sigmas: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The share of each noise level in the loss at points [N, d]: l_k p_k / sum l_k p_k, [N, K].

    Args:
        mixture: the clean data.
        points: where.
        sigmas: noise levels sigma_k, [K].
        weights: their weights l_k in the loss, [K].
    """
    energies = np.stack([mixture.energy(points, sigma) for sigma in sigmas], axis=1)
    return special.softmax(np.log(weights) - energies, axis=1)


def blended(
    mixture: GaussianMixture, points: np.ndarray, *, sigmas: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The blind denoiser with the smallest loss at points [N, d]: sum_k share_k D_k, [N, d].

    D_k is the best denoiser of level sigma_k. Arguments as of `level_shares`.
    """
    shares = level_shares(mixture, points, sigmas=sigmas, weights=weights)
    denoised = np.stack([mixture.denoised(points, sigma) for sigma in sigmas], axis=1)
    return np.einsum("nk,nkd->nd", shares, denoised)


def seen_noise(
    mixture: GaussianMixture, points: np.ndarray, *, sigmas: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The noise level that the blend assumes at points [N, d]: (sum_k share_k sigma_k^2)^1/2."""
    shares = level_shares(mixture, points, sigmas=sigmas, weights=weights)
    return np.sqrt(shares @ np.square(sigmas))


def mixed_energy(mixture: GaussianMixture, points: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """The energy that the weighting "score" learns: -log of sum sigma_k^2 p_k / sum sigma_k^2."""
    energies = np.stack([mixture.energy(points, sigma) for sigma in sigmas], axis=1)
    squares = np.square(sigmas)
    log_density = special.logsumexp(-energies, axis=1, b=squares / squares.sum())
    return -np.asarray(log_density)


def energy_along_a_line(places: np.ndarray, denoised: np.ndarray, sigma0: float) -> np.ndarray:
    """The energy with D = x - sigma0^2 dE/dx on a line, 0 at the first place: [N].

    Args:
        places: rising places x, [N]. The integral is exact where D is straight between them.
        denoised: D(x), [N].
        sigma0: the constant of the loss.
    """
    return integrate.cumulative_trapezoid((places - denoised) / sigma0**2, places, initial=0)


def shell_density(values: np.ndarray, dimension: int) -> np.ndarray:
    """The density of |z| / sqrt(d), where z ~ N(0, I) in d dimensions."""
    return distance_density(values, dimension, 1 / np.sqrt(dimension))


def distance_density(distances: np.ndarray, dimension: int, sigma: float) -> np.ndarray:
    """The density of |sigma z|, how far noise moves an image of d values."""
    return stats.chi.pdf(distances / sigma, dimension) / sigma


def one_level_error(std: float, sigma: np.ndarray, trained_sigma: float | np.ndarray) -> np.ndarray:
    """Mean square error of a value, at noise sigma, of the best denoiser of another level.

    The data are N(m, std^2 I). There the denoiser of level s keeps the share
    a = std^2 / (std^2 + s^2) of the distance from m; its error is (1 - a)^2 std^2 + a^2 sigma^2.
    """
    kept = std**2 / (std**2 + trained_sigma**2)
    return (1 - kept) ** 2 * std**2 + kept**2 * sigma**2


def best_error(std: float, sigma: np.ndarray) -> np.ndarray:
    """The smallest mean square error of a value at noise sigma, for data N(m, std^2 I)."""
    return one_level_error(std, sigma, sigma)


def blend_error(
    std: float, sigma: float, *, dimension: int, sigmas: np.ndarray, weights: np.ndarray
) -> float:
    """Mean square error of a value, at noise sigma, of the blind denoiser of many levels.

    The data are N(m, std^2 I). The blend keeps a share of the distance from m that depends on this
    distance alone, whose square is (std^2 + sigma^2) times a chi-square variable. So the mean is an
    integral over one variable, computed over its quantiles.

    Args:
        std: standard deviation of the data along every axis.
        sigma: the noise level of the noisy data.
        dimension: number d of values.
        sigmas: noise levels of the training, [K].
        weights: their weights in the loss, [K].
    """
    quantiles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    squares = (std**2 + sigma**2) * stats.chi2.ppf(quantiles, dimension)
    # All points at one distance are alike; these lie on the first axis.
    points = np.zeros((_QUANTILES, dimension))
    points[:, 0] = np.sqrt(squares)
    data = GaussianMixture(np.zeros((1, dimension)), std)
    blend = blended(data, points, sigmas=sigmas, weights=weights)
    best = data.denoised(points, sigma)
    excess = np.mean(np.sum((blend - best) ** 2, axis=1)) / dimension
    return float(best_error(std, np.asarray(sigma)) + excess)
