"""Likelihood runs for tests: settings of seconds, and the report."""

import json
import pathlib

from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.runs.likelihood import likelihood

SETTINGS = {
    "num_chains": 6,
    "batch_size": 3,
    "num_temperatures": 4,
    "pilot_chains": 4,
    "pilot_temperatures": 5,
    "pilot_rounds": 2,
    "rest_rounds": 3,
    "num_images": 200,
    "leapfrog_steps": 1,
}


def run_likelihood(workdir: pathlib.Path, **changes) -> list[str]:
    """Runs it with `SETTINGS` and changes of `config.likelihood`; returns the written files."""
    config = get_config(str(workdir))
    config.likelihood.update({**SETTINGS, **changes})
    return likelihood(validate(config), str(workdir))


def likelihood_report(workdir: pathlib.Path) -> dict:
    return json.loads((workdir / "evaluation" / "likelihood.json").read_text())
