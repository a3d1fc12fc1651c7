"""The statistics that a run keeps: what is missing is fitted, what is kept stays."""

import numpy as np

from tests.helpers.small_runs import small_config
from tf_mdsm.runs.build_statistics import build_statistics

IMAGES = np.random.default_rng(0).uniform(size=(60, 4, 4, 1)).astype(np.float32)


def test_mean_and_covariance_and_a_mixture_if_sampling_starts_there():
    statistics = build_statistics(small_config(), IMAGES)
    np.testing.assert_allclose(statistics.mean, IMAGES.mean(0), atol=1e-6)
    assert statistics.mixture is None
    mixture = build_statistics(small_config(sampling__start="mixture"), IMAGES).mixture
    # Too few images for two Gaussians.
    np.testing.assert_allclose(mixture.weights, [1])


def test_what_is_kept_is_not_fitted_again():
    kept = build_statistics(small_config(), IMAGES)
    assert build_statistics(small_config(), IMAGES + 1, kept) is kept
    mixture = small_config(sampling__start="mixture")
    completed = build_statistics(mixture, IMAGES, kept)
    assert completed.mean is kept.mean
    assert build_statistics(mixture, IMAGES + 1, completed) is completed
