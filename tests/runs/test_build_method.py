"""Methods from a configuration."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.sampler_runs import FAST, model_and_method, settings


@pytest.mark.parametrize("sampler", FAST)
@pytest.mark.parametrize("start", ["isotropic", "gaussian"])
def test_sampling_starts_at_the_samplers_first_noise_level(workdir, sampler, start):
    """The standard deviation of the starting images is sigma_max, and a little more by the data."""
    config = settings(workdir, sampler, sigma_max=30.0, sigma_min=1.0)
    config.sampling.start = start
    model, built = model_and_method(config, workdir)
    first = built.start_images(model, tf.range(200, dtype=tf.int64)).numpy()
    assert first.std() == pytest.approx(30.0, rel=5 / np.sqrt(2 * 200 * 64) + 1e-3)
    assert built.sigma_range(model)[1] == 30.0
