"""Cases of the accelerator: a collected run draws as the lowered programs draw."""

import pytest

from benchmarks.accelerator.cases import CASES
from benchmarks.recipes import load_recipe
from tf_mdsm.config.overrides import with_overrides

LOWERED = {"heun": "gaussian", "multistep": "gaussian", "annealed_langevin": "isotropic"}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.samples])
def test_a_run_starts_as_the_lowered_sampler_does(name):
    sampling = with_overrides(load_recipe(CASES[name].recipe), CASES[name].overrides).sampling
    assert sampling.start == LOWERED[sampling.sampler]
