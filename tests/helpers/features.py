"""Features of images for tests: normally distributed ones, and their statistics."""

import numpy as np

from tf_mdsm.evaluation.feature_statistics import FeatureStatistics, fit_feature_statistics


def normal(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Features [count, size] of independent standard normal numbers."""
    return np.random.default_rng(seed).standard_normal((count, size))


def fit(*batches: np.ndarray) -> FeatureStatistics:
    """Statistics of features that come in some batches."""
    return fit_feature_statistics(batches)
