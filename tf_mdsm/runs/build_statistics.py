"""From a configuration to the statistics of the training images, where sampling can start."""

import logging

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.datasets.image_statistics import ImageStatistics, fit_statistics
from tf_mdsm.runs.build_method import first_sigma

__all__ = ["build_statistics"]

_LOGGER = logging.getLogger(__name__)


def build_statistics(
    config: ConfigDict, images: np.ndarray, kept: ImageStatistics | None = None
) -> ImageStatistics:
    """The statistics that a run keeps: mean and covariance, and a mixture if sampling needs it.

    Args:
        config: the run's configuration.
        images: the training images, uint8, or float in [0, 1], [N, H, W, C].
        kept: what the run keeps already. It is returned if nothing is missing.
    """
    statistics = kept or fit_statistics(images)
    if config.sampling.start == "mixture" and statistics.mixture is None:
        _LOGGER.info("fitting a mixture of Gaussians to the training images, once for this run …")
        return statistics.with_mixture(images, sigma=first_sigma(config))
    return statistics
