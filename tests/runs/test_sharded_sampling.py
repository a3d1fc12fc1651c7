"""Sampling in shards: a diverging chain, another process, other settings."""

import numpy as np
import pytest

from tf_mdsm.config.file import get_config
from tf_mdsm.errors import RunError
from tf_mdsm.runs import sharded_sampling
from tf_mdsm.runs.sample import sample as sampling_run


def test_a_sampling_run_that_diverges_writes_no_samples(workdir, monkeypatch):
    original = sharded_sampling.compile_chain

    def compile_diverging_chain(*arguments):
        sample_chain = original(*arguments)

        def sample_diverging_chain(*arguments, **options):
            chain = sample_chain(*arguments, **options)
            chain.energies[5, 1] = np.inf
            return chain

        return sample_diverging_chain

    monkeypatch.setattr(sharded_sampling, "compile_chain", compile_diverging_chain)
    config = get_config(str(workdir))
    config.sampling.num_samples = 2
    with pytest.raises(RunError, match="step 5 of the chain: the energy is not finite"):
        sampling_run(config, str(workdir))
    assert not (workdir / "samples" / "annealed_langevin_2.npz").exists()
