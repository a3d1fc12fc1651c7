"""Reports of likelihood are found again by method, weights and age."""

import dataclasses
import json
import os
import shutil

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
    # A guide of some steps of the sampler leaves the energy as it is.
    guided = dataclasses.replace(run, guide=run.model, guide_step=4)
    assert find_likelihood(guided, "ais") == find_likelihood(run, "ais")


def test_a_report_that_has_converged_comes_before_a_newer_one_that_has_not(small_run, tmp_path):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    run, folder = load_run(get_config(str(workdir)), str(workdir)), workdir / "evaluation"
    folder.mkdir()

    def write(name: str, log_z: float | None, age: int) -> None:
        content = {**likelihood_provenance(run), "log_z": log_z}
        (folder / f"{name}.json").write_text(json.dumps(content))
        os.utime(folder / f"{name}.json", (age, age))

    def found() -> str:
        return os.path.basename(find_likelihood(run, "ais")[1])

    write("likelihood", None, 1)
    write("likelihood_01", None, 4)
    assert found() == "likelihood_01"
    write("likelihood_02", -5.0, 3)
    write("likelihood_03", 0.0, 2)
    assert found() == "likelihood_02"
