"""The compiled chain: seeds, states, parts."""

import numpy as np
import pytest

from tests.helpers.denoiser_samplers import gaussian, int_seeds, methods, target
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import denoise
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.sampling import sample


@pytest.mark.parametrize("wrong", [[], [1, 1], [-1], [2**63], [0.5]])
def test_missing_repeated_and_out_of_range_seeds_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`seeds` must"):
        compile_chain(target(), methods()["heun"])(wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, "3"])
def test_wrong_numbers_of_steps_between_states_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`show_every` must be a whole number of at least 0"):
        compile_chain(target(), methods()["heun"], show_every=wrong)


@pytest.mark.parametrize("kept", [0, 2, 9])
def test_states_are_kept_of_the_first_images_only(kept):
    """And images and energies are the same, whatever is kept."""
    draw = compile_chain(target(), methods()["heun"], show_every=3)
    whole, part = draw(range(4)), draw(range(4), kept_chains=kept)
    assert len(whole.states[0]) == 4
    np.testing.assert_array_equal(part.states, whole.states[:, :kept])
    for name in ("images", "energy", "energies"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))


@pytest.mark.parametrize(
    "method",
    [Heun([0.3]), Heun([0.3], churn=2.0), Multistep([0.3]), AncestralEuler([0.3])],
    ids=["heun", "churned_heun", "multistep", "ancestral"],
)
def test_one_noise_level_is_one_denoising_step(method):
    """No step is made: images are D of the start, and there are no energies before a step."""
    of = target(gaussian)
    start = method.start_images(of, int_seeds(4))
    _, denoised = denoise(of, start)
    chain = compile_chain(of, method)(range(4))
    np.testing.assert_allclose(chain.images, denoised, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(chain.images, sample(of, method, seeds=range(4)))
    np.testing.assert_allclose(chain.states, [start, denoised], rtol=1e-5, atol=1e-6)
    assert chain.energies.shape == (0, 4)
