"""Sections of an evaluation: the folders that keep them, and an earlier likelihood as a section."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.helpers.image_data import random_uint8
from tf_mdsm.evaluation.section_files import Section, load_section, read_likelihood, save_section

REPORT = {
    "step": 10,
    "weights": "averaged",
    "version": "0.1.0",
    "summary": "log Z in [1, 2]",
    "log_z": 1.5,
    "log_z_bracket": [1.25, None],
    "images": {
        "held_out": {"bits_per_dim": 7.5, "bracket": [7.25, 7.75], "num_images": 20},
        "other": {"bits_per_dim": None, "bracket": [None, 7.123456789], "num_images": 3},
    },
}


@pytest.fixture
def stem(tmp_path):
    """The path of a likelihood's report, without ending."""
    (tmp_path / "likelihood.json").write_text(json.dumps(REPORT))
    Image.new("L", (6, 4), 7).save(tmp_path / "likelihood.png")
    return str(tmp_path / "likelihood")


def test_a_section_is_saved_and_loaded(tmp_path):
    """Numbers keep all their digits, pictures their pixels, captions their order."""
    metrics = [{"name": "energy", "value": 1 / 3, "of": "samples", "n": 5}]
    pictures = {"Gray": random_uint8(4, 6, 1), "<Color>": random_uint8(3, 5, 3)}
    path = tmp_path / "parts" / "energies"
    save_section(Section(metrics, pictures), str(path))
    loaded = load_section(str(path))
    assert loaded.metrics == metrics
    assert list(loaded.pictures) == list(pictures)
    for caption, pixels in pictures.items():
        np.testing.assert_array_equal(loaded.pictures[caption], pixels)


def test_a_section_appears_complete_or_not_at_all(tmp_path):
    with pytest.raises(TypeError):
        save_section(Section([{"value": object()}], {}), str(tmp_path / "energies"))
    assert list(tmp_path.iterdir()) == []


def test_a_likelihood_as_a_section(stem):
    section = read_likelihood(stem, {"step": 10, "weights": "averaged", "weights_hash": "0a"})
    common = {"step": 10, "weights": "averaged", "version": "0.1.0"}
    common["method"] = "annealed importance sampling"
    bits = {"name": "bits_per_dim", **common}
    known = {"value": 7.5, "of": "validation images", "n": 20, "bracket": "7.25 … 7.75"}
    unknown = {"value": None, "of": "other", "n": 3, "bracket": "? … 7.12346"}
    log_z = {"name": "log_z", "value": 1.5, "of": "the energy", "bracket": "1.25 … ?", **common}
    assert section.metrics == [{**bits, **known}, {**bits, **unknown}, log_z]
    ((caption, picture),) = section.pictures.items()
    assert caption == REPORT["summary"]
    np.testing.assert_array_equal(picture, np.full((4, 6, 1), 7))


def test_a_likelihood_of_other_weights_is_no_section(stem):
    assert read_likelihood(stem, {"step": 9}) is None
    assert read_likelihood(stem, {"step": 10, "weights": "raw"}) is None
    assert read_likelihood(stem + "_of_another_run", {"step": 10}) is None
    # An earlier version wrote no hash of the weights.
    report = json.loads(pathlib.Path(f"{stem}.json").read_text())
    pathlib.Path(f"{stem}.json").write_text(json.dumps({**report, "weights_hash": "0a"}))
    assert read_likelihood(stem, {"step": 10, "weights_hash": "0a"}) is not None
    assert read_likelihood(stem, {"step": 10, "weights_hash": "0b"}) is None
