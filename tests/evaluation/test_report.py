"""The HTML report: tables of numbers with their conditions, pictures, and no outside content."""

import base64
import html
import io
import re

import numpy as np
from PIL import Image

from tests.helpers.image_data import random_uint8
from tf_mdsm.evaluation.report import render_report
from tf_mdsm.evaluation.section_files import Section


def page_of(metrics, name="quality", pictures=None, **options) -> str:
    """The page of one section."""
    sections = {name: Section(metrics, pictures or {})}
    return render_report("A run", options.get("facts", {}), sections, options.get("settings", {}))


def cells(page: str) -> list[list[str]]:
    """The texts of all tables' rows, headers included."""
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    texts = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(text.strip()) for text in row] for row in texts]


def energy(value, **conditions):
    return {"name": "energy", "value": value, **conditions}


def test_values_stand_next_to_the_conditions_in_which_they_differ():
    """Common conditions stand above the table; a spread follows its value."""
    page = page_of(
        [energy(1.0, of="samples", n=64, std=0.5), energy(12345.678, of="noise", n=64)],
    )
    assert cells(page)[-3:] == [["value", "of"], ["1 ± 0.5", "samples"], ["12,345.68", "noise"]]
    assert "n 64" in page
    assert "Energy E(x)" in page


def test_two_conditions_that_differ_make_a_cross_table():
    """One value for each pair; a missing pair turns it into a list."""
    pairs = [(of, score) for of in ("constant", "noise") for score in ("energy", "norm")]
    metrics = [
        {"name": "auroc", "value": i / 4, "of": of, "score": score}
        for i, (of, score) in enumerate(pairs)
    ]
    assert cells(page_of(metrics))[-3:] == [
        ["of \\ score", "energy", "norm"],
        ["constant", "0", "0.25"],
        ["noise", "0.5", "0.75"],
    ]
    assert cells(page_of(metrics[:3]))[-4:] == [
        ["value", "of", "score"],
        ["0", "constant", "energy"],
        ["0.25", "constant", "norm"],
        ["0.5", "noise", "energy"],
    ]


def test_a_value_that_has_not_converged_is_not_shown():
    bits = {"name": "bits_per_dim", "value": None, "of": "validation images"}
    page = page_of([{**bits, "bracket": "7.25 … ?"}], "likelihood")
    assert "not converged" in page
    assert "bounds 7.25 … ?" in page


def test_headings_facts_and_settings():
    """In the given order; a section without a heading has its name as heading."""
    sections = {name: Section([], {}) for name in ("outliers", "memorisation", "colors")}
    page = render_report("A & B", {"training_data": "digits"}, sections, {"seed": [1]})
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        *("Out-of-distribution images", "Memorization", "Colors", "Settings")
    ]
    assert "A &amp; B" in page
    assert "training data" in page
    assert "digits" in page
    assert '"seed": [' in html.unescape(page)


def test_pictures_are_part_of_the_page():
    """As data that decode to the same pixels; no address leads elsewhere."""
    pictures = {"Gray": random_uint8(4, 6, 1), "Color <1>": random_uint8(5, 3, 3)}
    page = page_of([], pictures=pictures)
    sources = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    for source, pixels in zip(sources, pictures.values(), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(source))) as picture:
            np.testing.assert_array_equal(np.asarray(picture).reshape(pixels.shape), pixels)
    assert "Color &lt;1&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
