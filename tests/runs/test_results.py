"""Names of results: those of other settings stay, whatever an earlier version wrote."""

import json

import numpy as np
import pytest

from tf_mdsm.runs.results import PROVENANCE, provenance_array, read_provenance, reserved_stem


def write(stem: str, key: str) -> str:
    """Writes a result as a mode does; returns where it is."""
    with reserved_stem(stem, key) as free:
        np.savez(f"{free}.npz", images=np.zeros(2), **{PROVENANCE: provenance_array({"key": key})})
    return free


def test_results_of_other_settings_get_another_name(tmp_path):
    stem = str(tmp_path / "heun_8")
    assert write(stem, "0a") == stem
    assert write(stem, "0b") == f"{stem}_0b"
    assert write(stem, "0a") == stem
    assert write(stem, "0b") == f"{stem}_0b"
    assert read_provenance(f"{stem}.npz") == {"key": "0a"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heun_8.npz", "heun_8_0b.npz"]


@pytest.mark.parametrize("kind", ["npz", "folder", "arr_0", "damaged", "other JSON"])
def test_what_does_not_say_what_it_is_of_stays(tmp_path, kind):
    """As earlier versions and other programs wrote it."""
    stem = str(tmp_path / "heun_8")
    path = tmp_path / {"folder": "heun_8", "arr_0": "heun_8_arr_0.npz"}.get(kind, "heun_8.npz")
    if kind == "folder":
        path.mkdir()
    elif kind == "damaged":
        path.write_bytes(b"PK")
    else:
        extra = {PROVENANCE: np.array(json.dumps([1]))} if kind == "other JSON" else {}
        np.savez(path, images=np.zeros(2), **extra)
    before = path.stat().st_mtime_ns
    assert write(stem, "0a") == f"{stem}_0a"
    assert path.stat().st_mtime_ns == before


def test_a_report_says_what_its_results_are_of(tmp_path):
    stem, report = str(tmp_path / "denoise"), tmp_path / "denoise.json"
    for content in ("", "[]", "{}", json.dumps({"key": "0b"})):
        report.write_text(content)
        with reserved_stem(stem, "0a") as free:
            assert free == f"{stem}_0a"
    report.write_text(json.dumps({"key": "0a"}))
    with reserved_stem(stem, "0a") as free:
        assert free == stem
