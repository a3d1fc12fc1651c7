"""The compiled chain: seeds, states, parts."""

import pytest

from tests.helpers.denoiser_samplers import methods, target
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.chain import compile_chain


@pytest.mark.parametrize("wrong", [[], [1, 1], [-1], [2**63], [0.5]])
def test_missing_repeated_and_out_of_range_seeds_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`seeds` must"):
        compile_chain(target(), methods()["heun"])(wrong)
