"""The compiled chain: seeds, states, parts."""

import numpy as np
import pytest

from tests.helpers.denoiser_samplers import methods, target
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.chain import compile_chain


@pytest.mark.parametrize("wrong", [[], [1, 1], [-1], [2**63], [0.5]])
def test_missing_repeated_and_out_of_range_seeds_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`seeds` must"):
        compile_chain(target(), methods()["heun"])(wrong)


@pytest.mark.parametrize("kept", [0, 2, 9])
def test_states_are_kept_of_the_first_images_only(kept):
    """And images and energies are the same, whatever is kept."""
    draw = compile_chain(target(), methods()["heun"], show_every=3)
    whole, part = draw(range(4)), draw(range(4), kept_chains=kept)
    assert len(whole.states[0]) == 4
    np.testing.assert_array_equal(part.states, whole.states[:, :kept])
    for name in ("images", "energy", "energies"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
