"""Reports of likelihood are found again by method, weights and age."""

import json
import os

from tf_mdsm.config.file import get_config
from tf_mdsm.runs.likelihood_reports import find_likelihood, likelihood_provenance
from tf_mdsm.runs.loaded_run import load_run


def test_the_newest_report_of_these_weights_is_found(workdir):
    run, folder = load_run(get_config(str(workdir)), str(workdir)), workdir / "evaluation"
    folder.mkdir(exist_ok=True)
    provenance = likelihood_provenance(run)
    reports = {
        "likelihood.json": {},
        "likelihood_0a1b.json": {"weights_hash": "another"},
        "likelihood_flow.json": {"method": "flow"},
        "likelihood_flow_0a1b.json": {"method": "flow", "newer": True},
    }
    for number, (name, changes) in enumerate(reports.items()):
        (folder / name).write_text(json.dumps({**provenance, **changes}))
        os.utime(folder / name, (number, number))
    assert find_likelihood(run, "bound") is None
    report, stem = find_likelihood(run, "ais")
    assert (report["method"], stem) == ("ais", str(folder / "likelihood"))
    report, stem = find_likelihood(run, "flow")
    assert (report["newer"], stem) == (True, str(folder / "likelihood_flow_0a1b"))
