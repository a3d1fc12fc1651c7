"""Near images by Gaussians: counts, and how improbable the largest is."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.quality.memorization import main, rows_of_gaussians, table


def test_images_are_counted_at_their_gaussian():
    gaussian = np.array([0, 0, 2, 2, 2, 2, 0, 2])
    is_near = np.array([1, 0, 0, 0, 1, 0, 0, 0], bool)
    rows = rows_of_gaussians(gaussian, is_near, np.array([0.4, 0.1, 0.5]))
    assert [(row["weight"], row["images"], row["near"]) for row in rows] == [
        (0.4, 3, 1),
        (0.1, 0, 0),
        (0.5, 5, 1),
    ]
    # One of three, and one of five, where a quarter is near; none of none is certain.
    expected = [1 - 0.75**3, 1.0, 1 - 0.75**5]
    assert [row["probability"] for row in rows] == pytest.approx(expected)


def test_a_gaussian_that_copies_is_improbable():
    """Half of its images are near, of the others one in fifty."""
    random = np.random.default_rng(0)
    gaussian = random.integers(50, size=10_000)
    is_near = random.uniform(size=10_000) < np.where(gaussian == 7, 0.5, 0.02)
    probabilities = [
        row["probability"] for row in rows_of_gaussians(gaussian, is_near, np.full(50, 0.02))
    ]
    assert np.argmin(probabilities) == 7
    assert probabilities[7] < 1e-20
    assert np.sort(probabilities)[1] > stats.norm.sf(5)


def test_the_table_has_a_row_for_each_set_and_each_gaussian():
    rows = rows_of_gaussians(np.array([0, 1, 1]), np.array([True, False, False]), np.ones(2) / 2)
    report = {
        "rows": {"samples": {"n": 3, "median": 3.656, "near": 0.1234}},
        "gaussians": {"samples": rows, "starts": rows},
        "summary": "Nothing.",
    }
    text = table(report)
    assert "| samples | 3 | 3.66 | 12.3 % |" in text
    assert "| 1 | 0.5000 | 2 | 0 | 0 | 1 |" in text
    assert text.endswith("\nNothing.\n")


def test_wrong_calls(tmp_path, capsys):
    assert main([f"--workdir={tmp_path}", "--num_samples=0"]) == 2
    assert main([f"--workdir={tmp_path}"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "`--num_samples` must" in first
    assert "`--workdir` must hold a run's config.json" in second
