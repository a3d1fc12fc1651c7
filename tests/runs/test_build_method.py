"""Methods from a configuration."""

import numpy as np
import pytest
import tensorflow as tf

from configs import photos
from tests.helpers.sampler_runs import FAST, model_and_method, settings
from tf_mdsm.config import default_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.build_method import build_method, with_ascent, with_guide, with_own_sampler
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.starts import SmoothStart
from tf_mdsm.weightings import WEIGHTINGS


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


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_denoising_step_is_left_out_where_nothing_trains_a_denoiser(weighting):
    config = default_config()
    config.noise.weighting = weighting
    config.sampling.update(sampler="annealed_langevin", start="isotropic")
    assert build_method(config, None).denoise == (weighting != "score")
    config.sampling.denoise = False
    assert not build_method(config, None).denoise


def test_the_recipe_of_photographs_restores_from_a_smooth_start():
    method = build_method(with_own_sampler(photos.get_config()), None)
    assert isinstance(method, CoarseToFine)
    assert method.start == SmoothStart(0.2)
    assert (method.sigma_start, method.step_sizes.min()) == (pytest.approx(0.2), 1)


def test_configurations_with_other_samplers():
    """Those of the call stay as they are."""
    config = default_config()
    config.restoration.update(sampler="heun", start="isotropic", max_steps=7, beta=0.3)
    own, ascent = with_own_sampler(config), with_ascent(config)
    assert own.sampling.sampler == "heun"
    assert (own.sampling.max_steps, own.sampling.beta) == (7, 0.3)
    # 0 stands for the settings of sampling.
    names = ("sigma_max", "h0")
    assert [own.sampling[name] for name in names] == [config.sampling[name] for name in names]
    config.restoration.update(sigma_max=0.2, h0=1.0)
    near = with_own_sampler(config).sampling
    assert (near.sigma_max, near.h0) == (0.2, 1.0)
    config.restoration.sigma_max = 0.001
    with pytest.raises(InvalidArgument, match=r"`config.restoration.sigma_max` must exceed"):
        with_own_sampler(config)
    assert (ascent.sampling.sampler, ascent.sampling.start) == ("coarse_to_fine", "isotropic")
    assert ascent.sampling.max_steps == config.sampling.max_steps
    assert config.to_dict()["sampling"] == default_config().to_dict()["sampling"]


@pytest.mark.parametrize(
    ("method", "guided"),
    [
        # The last entry is for the final operation, at the last level.
        (Heun([3.0, 1.0, 0.3, 0.1]), [False, True, True, False]),
        # Level sigma0 sqrt(T); the final operation is at the level of the last step.
        (AnnealedLangevin([900.0, 100.0, 4.0], 0.1), [False, True, True, True]),
        (AnnealedLangevin([900.0, 100.0, 1.0], 0.1), [False, True, False, False]),
    ],
)
def test_steps_that_begin_in_a_range_of_levels_are_guided(method, guided):
    config = default_config()
    config.sampling.update(guide_sigma_min=0.2, guide_sigma_max=1.0)
    assert with_guide(config, method).guided.tolist() == guided


@pytest.mark.parametrize("level", [0.1, 0.3, 1.2, 3.0])
def test_a_step_at_the_end_of_the_range_is_guided(level):
    """The method's levels are rounded to float32, the settings are not."""
    config = default_config()
    config.sampling.update(guide_sigma_min=level, guide_sigma_max=level)
    assert with_guide(config, Heun([4.0, level, 0.05])).guided.tolist() == [False, True, False]
    langevin = AnnealedLangevin([1e4, (level / config.noise.sigma0) ** 2, 0.01], 0.1)
    assert with_guide(config, langevin).guided.tolist() == [False, True, False, False]


def test_a_range_without_a_step_is_refused():
    config = default_config()
    config.sampling.update(guide_sigma_min=1.5, guide_sigma_max=2.0)
    message = r"`config.sampling.guide_sigma_max` must have a noise level .* \(3, 1, 0.1 …\)"
    with pytest.raises(InvalidArgument, match=message):
        with_guide(config, Heun([3.0, 1.0, 0.1]))


def test_a_guide_in_some_steps_is_refused_where_steps_have_no_noise_levels():
    config = default_config()
    config.sampling.guide_sigma_max = 2.0
    message = r"guide_sigma_max` must be 0 for a sampler whose steps .* Received: CoarseToFine"
    with pytest.raises(InvalidArgument, match=message):
        with_guide(config, CoarseToFine(1.0, 0.1))
