"""The listings of docs/concepts/how_it_works.md print what the page says."""

import re

import numpy as np
import pytest

from tests.helpers.readme import listings
from tests.helpers.small_runs import ROOT

PAGE = (ROOT / "docs/concepts/how_it_works.md").read_text()
LISTINGS = listings(PAGE)


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", text)]


def table_after(heading: str) -> list[list[str]]:
    """The cells of the first table after some words of the page, without its head."""
    lines = PAGE[PAGE.index(heading) :].split("\n| --- ")[1].splitlines()[1:]
    end = lines.index("")
    return [line.strip("| ").split(" | ") for line in lines[:end]]


@pytest.fixture
def run_listing(monkeypatch, capsys):
    """Runs a listing, with some text replaced, after the first one; returns what it prints."""
    monkeypatch.chdir(ROOT)
    names = {}

    def run(place: int, replacements: dict[str, str]) -> list[float]:
        code = LISTINGS[place]
        for old, new in replacements.items():
            assert code.count(old) == 1, old
            code = code.replace(old, new)
        exec(compile(code, f"listing {place}", "exec"), names)  # noqa: S102
        return numbers(capsys.readouterr().out)

    return run


def test_the_gradient_grows_with_the_noise(run_listing):
    printed = np.reshape(run_listing(0, {}), (4, 4))
    rows = table_after("**The gradient grows with the noise.**")
    expected = [
        [*numbers(row[0]), *numbers(row[1]), *numbers(row[3]), *numbers(row[5])] for row in rows
    ]
    # The page has whole numbers, and three digits of the last column; float32 adds 1e-5.
    np.testing.assert_allclose(printed[:, :3], np.array(expected)[:, :3], rtol=1e-3, atol=1)
    np.testing.assert_allclose(printed[:, 3], np.array(expected)[:, 3], atol=2e-3)


def test_temperature_and_the_papers_sampler_run_with_few_steps(run_listing):
    run_listing(0, {})
    printed = run_listing(1, {"[T] * 500": "[T] * 2", "range(64)": "range(2)"})
    assert printed[::2] == [1, 9, 25, 100]
    few = "annealing_temperatures(hot_steps=2, cooling_steps=2, final_steps=2)"
    run_listing(2, {"annealing_temperatures()": few, "range(16)": "range(2)"})


def test_the_guesses_of_the_loss(run_listing):
    assert len(LISTINGS) == 4
    printed = run_listing(3, {})
    guesses = [numbers(row[1])[0] for row in table_after("**Where it ends.**")]
    np.testing.assert_allclose(printed, guesses[:4], rtol=5e-3)
