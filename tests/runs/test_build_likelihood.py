"""Levels and decoder fitted to images, and the bounds that are built from them."""

import numpy as np
import pytest

from tf_mdsm.config.file import get_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.evaluation.likelihood.chain_bound import ChainBound
from tf_mdsm.evaluation.likelihood.flow import FlowBound
from tf_mdsm.runs.build_likelihood import (
    build_bound,
    fit_to_images,
)
from tf_mdsm.runs.image_record import build_images_of_run
from tf_mdsm.runs.loaded_run import load_run


def loaded(workdir, **changes):
    overrides = {f"likelihood.{name}": value for name, value in changes.items()}
    return load_run(with_overrides(get_config(str(workdir)), overrides), str(workdir))


@pytest.fixture(scope="module")
def fitted(workdir):
    """A run, and what is fitted to its images."""
    run = loaded(workdir, num_levels=6, sigma_min=0.2)
    return run, fit_to_images(run, *build_images_of_run(run.config, run.folder))


def test_the_fit_is_of_the_settings_and_the_images(fitted):
    run, fit = fitted
    assert len(fit.sigmas) == 6
    assert fit.sigmas[0] == pytest.approx(run.config.noise.sigma_max)
    assert fit.sigmas[-1] == pytest.approx(0.2)
    assert fit.decoder.gray_levels == 17
    # What is left of noise of 0.2 in images between black and white.
    widths = fit.decoder.weights @ fit.decoder.stds
    assert 0.01 < widths[0] < 0.6


def test_the_methods_are_built_from_it(fitted):
    run, fit = fitted
    chain, flow = build_bound("bound", run, fit), build_bound("flow", run, fit)
    assert isinstance(chain, ChainBound)
    assert isinstance(flow, FlowBound)
    np.testing.assert_array_equal(chain.sigmas, fit.sigmas)
    assert (flow.flow.sigma_min, flow.flow.is_exact) == (0.2, True)
