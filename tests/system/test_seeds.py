"""The largest seed."""

import numpy as np

from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE


def test_seeds_and_as_many_chains_again_are_int64_numbers():
    assert np.iinfo(np.int64).max == 2 * MAX_SEED - 1
    assert f"[0, 2^{MAX_SEED.bit_length() - 1}]" == SEED_RANGE
