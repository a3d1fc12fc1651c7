"""Settings of a fast sampling run with any sampler."""

from tf_mdsm.config.file import get_config
from tf_mdsm.config.ranges import CHOICES
from tf_mdsm.runs.run import load_run

# The samplers that use the denoiser.
FAST = [s for s in CHOICES["sampling.sampler"] if s not in ("annealed_langevin", "mala", "hmc")]


def settings(workdir, sampler: str, **changes):
    config = get_config(str(workdir))
    config.sampling.update(sampler=sampler, start="gaussian", num_levels=5, max_steps=9, **changes)
    return config


def model_and_method(config, workdir):
    run = load_run(config, str(workdir))
    return run.model, run.method
