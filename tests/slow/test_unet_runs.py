"""U-Nets with every option: trained, exported, sampled, restored, evaluated."""

import json
import os

import numpy as np
import pytest

from tests.helpers.small_runs import latest_step, small_config
from tf_mdsm.config.rules import validate
from tf_mdsm.runs.evaluate import evaluate
from tf_mdsm.runs.export import export
from tf_mdsm.runs.likelihood import likelihood
from tf_mdsm.runs.restore import restore
from tf_mdsm.runs.sample import sample
from tf_mdsm.runs.train import train

# All parts of the structure and all training choices, beside the paper's.
ALL = {
    "network__unet__patch_size": 2,
    "network__unet__num_resolutions": 2,
    "network__unet__num_blocks": 2,
    "network__unet__attention_size": 2,
    "network__unet__scale_input": True,
    "optimizer__warmup_steps": 4,
    "optimizer__clip_norm": 1.0,
    "training__accumulation_steps": 2,
    "noise__spacing": "log_normal",
    "noise__weighting": "edm",
}

# The energy of two networks, the first trained as a plain denoiser at first.
GUIDED = {"guidance": 2.0, "training__guide_step": 2, "training__denoiser_steps": 4}

# The same two networks; the guide acts in one step of the sampler.
GUIDED_STEPS = {**GUIDED, "sampling__guide_sigma_min": 0.1, "sampling__guide_sigma_max": 1.0}


def trained(tmp_path, head, **fields):
    """Settings of a run that has been trained."""
    config = small_config(network__name="unet", network__head=head, training__num_steps=8, **fields)
    config.sampling.update(sampler="heun", start="gaussian", num_levels=3)
    config.restoration.update(task="inpaint_half", max_steps=5, num_images=2, num_solutions=1)
    config.evaluation.update(parts="energies,outliers", features="none")
    config.evaluation.update(num_samples=10, num_images=10)
    config.likelihood.update(num_chains=4, num_temperatures=3, pilot_chains=4)
    config.likelihood.update(pilot_temperatures=3, pilot_rounds=2, rest_rounds=2, num_images=4)
    train(validate(config), str(tmp_path))
    assert latest_step(tmp_path) == 8
    return config


def test_trained_exported_and_sampled(tmp_path):
    config = trained(tmp_path, "two_guesses", **ALL)
    assert export(config, str(tmp_path)) == [str(tmp_path / "export" / "1")]
    path, *_ = sample(config, str(tmp_path))
    with np.load(path) as arrays:
        assert np.isfinite(arrays["energies"]).all()


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        ("distance", {}),
        ("product", {}),
        ("two_guesses", {}),
        ("distance", ALL),
        ("distance", GUIDED),
        ("distance", GUIDED_STEPS),
    ],
)
def test_all_that_is_done_with_a_run(head, fields, tmp_path):
    config, workdir = trained(tmp_path, head, **fields), str(tmp_path)
    assert export(config, workdir) == [os.path.join(workdir, "export", "1")]
    for run in (sample, restore, evaluate, likelihood):
        assert run(config, workdir), run.__name__
    report = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert {metric["name"] for metric in report["metrics"]} >= {"energy", "auroc"}
