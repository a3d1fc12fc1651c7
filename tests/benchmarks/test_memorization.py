"""Near images by Gaussians: counts, and how improbable the samples' are."""

import numpy as np
import pytest

from benchmarks.quality.memorization import main, rows_of_gaussians, table


def sets(validation, samples) -> dict:
    return {"validation images": np.array(validation), "samples": np.array(samples)}


def test_images_are_counted_at_their_gaussian():
    gaussians = sets([0, 0, 2, 2, 0], [0, 2, 2, 2])
    is_near = sets([True, False, False, True, False], [True, True, False, True])
    rows = rows_of_gaussians(gaussians, is_near, 3)
    assert [row["near"]["samples"] for row in rows] == [1, 0, 2]
    assert [row["images"]["samples"] for row in rows] == [1, 0, 3]
    assert [row["near"]["validation images"] for row in rows] == [1, 0, 1]
    assert [row["images"]["validation images"] for row in rows] == [3, 0, 2]
    # Two of the four images are near, and it is the sample: 1/2. Of nothing, 1. Three of five
    # are near, two or three of them among the three samples: (3 choose 2) 2 / 10 + 1 / 10.
    assert [row["probability"] for row in rows] == pytest.approx([0.5, 1.0, 0.7])


def test_a_gaussian_that_copies_is_improbable():
    """Half of its samples are near. Elsewhere samples are as often near as validation images."""
    random = np.random.default_rng(0)
    gaussians = sets(*random.integers(50, size=(2, 10_000)))
    shares = random.uniform(0, 0.2, 50)
    copied = np.where(np.arange(50) == 7, 0.5, shares)
    is_near = {
        name: random.uniform(size=10_000) < share[gaussians[name]]
        for name, share in (("validation images", shares), ("samples", copied))
    }
    probabilities = [row["probability"] for row in rows_of_gaussians(gaussians, is_near, 50)]
    assert np.argmin(probabilities) == 7
    assert probabilities[7] < 1e-10
    assert np.sort(probabilities)[1] > 1e-5


def test_the_table_has_a_row_for_each_set_and_each_gaussian():
    of = sets([0, 1, 1], [0, 1, 1])
    rows = rows_of_gaussians(of, {name: of[name] == 0 for name in of}, 2)
    report = {
        "rows": {name: {"n": 3, "median": 3.656, "near": 0.1234} for name in of},
        "gaussians": rows,
        "summary": "Nothing.",
    }
    text = table(report)
    assert "| samples | 3 | 3.66 | 12.3 % |" in text
    assert "| 1 | 0, 2 | 0, 2 | 1 |" in text
    assert text.endswith("\nNothing.\n")


def test_wrong_calls(tmp_path, capsys):
    assert main([f"--workdir={tmp_path}", "--num_samples=0"]) == 2
    assert main([f"--workdir={tmp_path}"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "`--num_samples` must" in first
    assert "`--workdir` must hold a run's config.json" in second
