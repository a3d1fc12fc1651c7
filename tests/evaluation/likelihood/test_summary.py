"""The report of a likelihood: values only if the bounds have converged."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import RunError
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.bits_per_dim import bits_per_dim
from tf_mdsm.evaluation.likelihood.estimate import LogZEstimate
from tf_mdsm.evaluation.likelihood.gaussian import isotropic_reference
from tf_mdsm.evaluation.likelihood.summary import (
    image_energies,
    likelihood_report,
    summarize,
)


def test_image_energies_do_not_depend_on_batches_and_must_be_finite():
    images = np.random.default_rng(0).integers(0, 256, (7, 2, 2, 1), np.uint8)

    def energy(x):
        return tf.reduce_sum(x, (1, 2, 3))

    expected = (images / 255).sum((1, 2, 3))
    for batch_size in (3, 7):
        energies = image_energies(energy, {"training": images}, batch_size)
        np.testing.assert_allclose(energies["training"], expected, rtol=1e-6)
    with pytest.raises(RunError, match="one of the validation images is not finite"):
        image_energies(lambda x: 1 / (energy(x) - energy(x)), {"held_out": images}, 7)


@pytest.mark.parametrize(
    ("up", "down", "drift", "reason"),
    [
        ((0.0, 1.0), (40.0, 1.0), 0.0, "bits/dim apart"),
        ((0.0, 1.0), (-1.0, 0.1), 0.0, "above the upper"),
        ((0.0, 3.0), (1.0, 0.1), 0.0, "chains up"),
        ((0.0, 0.1), (1.0, 3.0), 0.0, "chains down"),
        ((0.0, 0.1), (1.0, 0.1), 5.0, "drift"),
        ((0.0, 0.1), (1.0, 0.1), float("nan"), "drift"),
    ],
)
def test_no_value_is_reported_unless_the_bounds_have_converged(up, down, drift, reason):
    random = np.random.default_rng(3)
    log_weights = [mean + spread * random.standard_normal(100) for mean, spread in (up, down)]
    log_z = bounds.bound_log_z(*log_weights)
    reported = summarize(
        log_z,
        {"held_out": np.zeros(3)},
        drift=drift,
        size=64,
        temperature=1.0,
        tolerance=0.1,
        min_effective=25.0,
    )
    assert not reported["converged"]
    assert reported["log_z"] is reported["images"]["held_out"]["bits_per_dim"] is None
    assert any(reason in text for text in reported["reasons"])
    assert reported["summary"].startswith("not converged, so no value is reported")
    assert "validation images [" in reported["summary"]
    json.dumps(reported, allow_nan=False)


def test_a_value_is_reported_if_the_bounds_have_converged():
    random = np.random.default_rng(3)
    log_weights = [middle + 0.1 * random.standard_normal(50) for middle in (0, 0.1)]
    reported = summarize(
        bounds.bound_log_z(*log_weights),
        {"held_out": np.arange(3.0)},
        drift=1.0,
        size=64,
        temperature=2.0,
        tolerance=0.1,
        min_effective=5.0,
    )
    images = reported["images"]["held_out"]
    assert reported["converged"]
    assert images["bracket"][0] < images["bits_per_dim"] < images["bracket"][1]
    assert images["bits_per_dim"] == bits_per_dim(1.0, reported["log_z"], 64, temperature=2.0)
    log_z = [(bits - 8) * 64 * np.log(2) - 1 / 2 for bits in images["bracket"]]
    assert reported["log_z_bracket"] == pytest.approx(log_z)
    # The energies 0, 1, 2 have the standard deviation 1.
    assert images["error_over_images"] == pytest.approx(1 / 3**0.5 / (2 * 64 * np.log(2)))
    assert (images["mean_energy"], images["num_images"]) == (1.0, 3)
    assert f"validation images {images['bits_per_dim']:.4f} in [" in reported["summary"]


def test_the_report_of_an_estimate():
    """Acceptance over the intervals, step sizes, and the reference's own bits/dim."""
    log_weights = 5 + 0.01 * np.random.default_rng(0).standard_normal(40)
    estimate = LogZEstimate(
        bounds=bounds.bound_log_z(log_weights, log_weights),
        drift=0.5,
        thermodynamic_length=3.0,
        betas=np.float32([0, 0.5, 1]),
        step_sizes=np.float32([0.25, 0.5]),
        differences={},
        log_weights={},
        accepted={"up": np.float32([[0.5, 1], [0.5, 0]]), "down": np.full((2, 2), 0.75)},
    )
    images = np.full((3, 2, 2, 1), 0.5, np.float32)
    report = likelihood_report(
        estimate,
        lambda x: tf.reduce_sum(x, (1, 2, 3)),
        isotropic_reference((2, 2, 1), mean=0.5, sigma=0.1),
        {"training": images},
        batch_size=2,
        temperature=2.0,
        tolerance=0.1,
        min_effective=5.0,
    )
    assert report["converged"]
    assert report["acceptance"]["up"] == {"mean": 0.5, "lowest": 0.5, "highest": 0.5}
    assert report["acceptance"]["down"] == {"mean": 0.75, "lowest": 0.75, "highest": 0.75}
    assert report["step_sizes"] == [0.25, 0.5]
    assert report["thermodynamic_length"] == 3.0
    # At its mean, the density of N(m, s^2) is 1 / sqrt(2 pi s^2).
    expected = np.log2(0.1 * np.sqrt(2 * np.pi)) + 8
    assert report["reference_bits_per_dim"] == {"training": pytest.approx(expected, rel=1e-6)}
    expected = bits_per_dim(2.0, report["log_z"], 4, temperature=2.0)
    assert report["images"]["training"]["bits_per_dim"] == pytest.approx(expected)
    json.dumps(report, allow_nan=False)
