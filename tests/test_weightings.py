"""Names of the weightings, and which of them train a blind denoiser."""

from tf_mdsm.config.ranges import CHOICES
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.weightings import WEIGHTINGS, trains_denoiser


def test_all_weightings_but_score_train_a_denoiser():
    assert [name for name in WEIGHTINGS if not trains_denoiser(name)] == ["score"]


def test_settings_and_noise_levels_have_these_weightings():
    assert CHOICES["noise.weighting"] == WEIGHTINGS
    for name in WEIGHTINGS:
        assert NoiseLevels(weighting=name).weighting == name
