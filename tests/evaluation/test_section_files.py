"""Sections of an evaluation, and the folders that keep them."""

import numpy as np
import pytest

from tests.helpers.image_data import random_uint8
from tf_mdsm.evaluation.section_files import (
    Section,
    joined_sections,
    load_section,
    save_section,
)


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


def test_sections_are_joined_in_their_order():
    first = Section([{"name": "a", "value": 1}], {"one": random_uint8(2, 2, 1)})
    second = Section([{"name": "b", "value": 2}], {"two": random_uint8(3, 2, 1)})
    joined = joined_sections([first, second])
    assert [metric["name"] for metric in joined.metrics] == ["a", "b"]
    assert list(joined.pictures) == ["one", "two"]
