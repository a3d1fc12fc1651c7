"""Reports of likelihood as sections of an evaluation."""

import json

import numpy as np
import pytest
from PIL import Image

from tf_mdsm.evaluation.likelihood_section import is_of, likelihood_section, load_likelihood

COMMON = {"step": 10, "weights": "averaged", "version": "0.1.0"}
REPORT = {
    **COMMON,
    "summary": "log Z in [1, 2]",
    "log_z": 1.5,
    "log_z_bracket": [1.25, None],
    "images": {
        "held_out": {"bits_per_dim": 7.5, "bracket": [7.25, 7.75], "num_images": 20},
        "other": {"bits_per_dim": None, "bracket": [None, 7.123456789], "num_images": 3},
    },
}


@pytest.fixture
def picture(tmp_path) -> str:
    Image.new("L", (6, 4), 7).save(tmp_path / "likelihood.png")
    return str(tmp_path / "likelihood.png")


def test_a_report_by_annealing(tmp_path, picture):
    """An earlier version did not write the method."""
    (tmp_path / "likelihood.json").write_text(json.dumps(REPORT))
    report = load_likelihood(str(tmp_path / "likelihood.json"))
    section = likelihood_section(report, picture)
    common = {**COMMON, "method": "annealed importance sampling"}
    bits = {"name": "bits_per_dim", **common}
    known = {"value": 7.5, "of": "validation images", "n": 20, "bracket": "7.25 … 7.75"}
    unknown = {"value": None, "of": "other", "n": 3, "bracket": "? … 7.12346"}
    log_z = {"name": "log_z", "value": 1.5, "of": "the energy", "bracket": "1.25 … ?", **common}
    assert section.metrics == [{**bits, **known}, {**bits, **unknown}, log_z]
    ((caption, pixels),) = section.pictures.items()
    assert caption == REPORT["summary"]
    np.testing.assert_array_equal(pixels, np.full((4, 6, 1), 7))


@pytest.mark.parametrize("method", ["bound", "flow"])
def test_a_report_of_bounds(method, picture):
    entry = {"bits_per_dim": 2.5, "error_over_images": 0.125, "num_images": 8}
    report = {**COMMON, "method": method, "summary": "2.5", "images": {"given": entry}}
    (metric,) = likelihood_section(report, picture).metrics
    assert (metric["value"], metric["standard_error"], metric["n"]) == (2.5, 0.125, 8)
    assert metric["of"] == "given images"
    assert metric["method"].startswith("bound by the ")
    assert "bracket" not in metric


def test_reports_of_other_weights():
    assert is_of(REPORT, {"step": 10, "weights": "averaged"})
    assert not is_of(REPORT, {"step": 9})
    assert not is_of(REPORT, {"step": 10, "weights": "raw"})
    # An earlier version wrote no hash of the weights.
    assert is_of(REPORT, {"step": 10, "weights_hash": "0a"})
    assert not is_of({**REPORT, "weights_hash": "0b"}, {"step": 10, "weights_hash": "0a"})
