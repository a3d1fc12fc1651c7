"""The report of a likelihood: values only if the bounds have converged."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import RunError
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.bits_per_dim import bits_of_cells, bits_per_dim
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.estimate import LogZEstimate
from tf_mdsm.evaluation.likelihood.gaussian import isotropic_reference
from tf_mdsm.evaluation.likelihood.rays import RayEnergies
from tf_mdsm.evaluation.likelihood.summary import (
    dequantize,
    image_energies,
    likelihood_report,
    summarize,
)

# Rays along which the energy rises, and what else does not matter where bounds are asked for.
RISING = RayEnergies(start=-3.0, inside=-2.0, beyond=7.0, num_rays=9)
ON_A_BOX = {"domain": Domain(1.0), "rays": RISING, "gray_levels": 17}


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
        **ON_A_BOX,
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
        **ON_A_BOX,
        drift=1.0,
        size=64,
        temperature=2.0,
        tolerance=0.1,
        min_effective=5.0,
    )
    images = reported["images"]["held_out"]
    assert reported["converged"]
    assert images["bracket"][0] < images["bits_per_dim"] < images["bracket"][1]
    assert images["bits_per_dim"] == bits_per_dim(
        1.0, reported["log_z"], 64, temperature=2.0, cell_bits=4
    )
    log_z = [(bits - 4) * 64 * np.log(2) - 1 / 2 for bits in images["bracket"]]
    assert reported["log_z_bracket"] == pytest.approx(log_z)
    # The energies 0, 1, 2 have the standard deviation 1.
    assert images["error_over_images"] == pytest.approx(1 / 3**0.5 / (2 * 64 * np.log(2)))
    assert (images["mean_energy"], images["num_images"]) == (1.0, 3)
    assert f"validation images {images['bits_per_dim']:.4f} in [" in reported["summary"]
    assert "on pixels in [-1, 2]" in reported["summary"]
    assert reported["summary"].endswith("(17 gray levels)")
    assert (reported["domain"], reported["warnings"]) == ([-1.0, 2.0], [])
    assert reported["cells"] == {"gray_levels": 17, "bits": 4.0}
    assert reported["rays"] == dataclasses.asdict(RISING)


def summary_with_rays(**energies) -> dict:
    """Of bounds that have converged, at d = 64 and T = 2."""
    log_weights = 0.1 * np.random.default_rng(3).standard_normal(50)
    return summarize(
        bounds.bound_log_z(log_weights, log_weights),
        {"held_out": np.zeros(3)},
        domain=Domain(1.0),
        rays=dataclasses.replace(RISING, **energies),
        gray_levels=None,
        drift=0.0,
        size=64,
        temperature=2.0,
        tolerance=0.1,
        min_effective=5.0,
    )


def test_an_energy_that_falls_beyond_the_domain_is_a_warning():
    """The density on the domain is what it is; without gray levels no cells are added."""
    reported = summary_with_rays(beyond=-3.5)
    assert reported["converged"]
    assert reported["warnings"] == [
        "beyond the domain the energy falls to -3.5, below -3 inside: it is a density on the "
        "domain only"
    ]
    assert reported["summary"].endswith(
        f"(no gray levels: bits of the density); {reported['warnings'][0]}"
    )
    assert summary_with_rays(beyond=-2.5)["warnings"] == []
    assert summary_with_rays(inside=-4.0, beyond=-3.5)["warnings"] == []


def test_an_energy_that_falls_far_inside_the_domain_has_no_value():
    """Typical states of a Gaussian lie d T / 2 = 64 above its mode."""
    assert summary_with_rays(start=0.0, inside=-63.0)["converged"]
    reported = summary_with_rays(start=0.0, inside=-65.0)
    assert not reported["converged"]
    assert "inside the domain the energy falls to -65, far below" in reported["reasons"][0]


def test_the_report_of_an_estimate():
    """Acceptance over the intervals, step sizes, and the reference's own bits/dim."""
    log_weights = 5 + 0.01 * np.random.default_rng(0).standard_normal(40)
    estimate = LogZEstimate(
        states=np.full((3, 2, 2, 1), 0.25, np.float32),
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
        isotropic_reference((2, 2, 1), mean=0.5, sigma=0.1, domain=Domain(0.0)),
        {"training": images},
        gray_levels=256,
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
    # At its mean, the density of N(m, s^2) is 1 / sqrt(2 pi s^2), and more without what lies
    # outside of [0, 1], five standard deviations away.
    cell_bits = bits_of_cells(256)
    expected = np.log2(0.1 * np.sqrt(2 * np.pi)) + np.log2(1 - 5.733e-7) + cell_bits
    assert report["reference_bits_per_dim"] == {"training": pytest.approx(expected, rel=1e-7)}
    assert report["log_mass_of_reference"]["value"] == pytest.approx(-4 * 5.733e-7, rel=1e-3)
    expected = bits_per_dim(2.0, report["log_z"], 4, temperature=2.0, cell_bits=cell_bits)
    assert report["images"]["training"]["bits_per_dim"] == pytest.approx(expected)
    # The sum of the pixels is 1 at the states, 0 in a corner, and negative beyond.
    assert report["rays"]["start"] == 1
    assert 0 <= report["rays"]["inside"] < 1
    assert report["rays"]["beyond"] < 0
    assert len(report["warnings"]) == 1
    json.dumps(report, allow_nan=False)


def test_dequantized_images_lie_in_their_cells():
    images = {"held_out": np.array([[0, 128, 255]], np.uint8).reshape(1, 1, 3, 1)}
    noisy = dequantize(images, 256, seed=0)["held_out"]
    cells = 255 * noisy - images["held_out"]
    assert (np.abs(cells) <= 0.5 + 1e-4).all()
    assert len(np.unique(cells)) == 3
    np.testing.assert_array_equal(dequantize(images, 256, seed=0)["held_out"], noisy)
    many = {"a": np.full((100, 10, 10, 1), 0.5, np.float32)}
    # The standard error of the mean of n = 10,000 numbers uniform in a cell of width 1/2.
    offset = dequantize(many, 3, seed=1)["a"].mean() - 0.5
    assert abs(offset) < 5 * 0.5 / (12 * 10_000) ** 0.5


def test_bits_of_dequantized_images_beside_those_of_the_images():
    """They differ by the energies; without convergence there is neither."""
    log_weights = np.array([1.0, 1.0, 1.0])

    def reported(tolerance):
        return summarize(
            bounds.bound_log_z(log_weights, log_weights),
            {"held_out": np.zeros(3)},
            **ON_A_BOX,
            drift=0.0,
            size=64,
            temperature=2.0,
            tolerance=tolerance,
            min_effective=1.0,
            dequantized={"held_out": np.full(3, 5.0)},
        )["images"]["held_out"]

    entry = reported(tolerance=0.1)
    difference = entry["dequantized"]["bits_per_dim"] - entry["bits_per_dim"]
    assert difference == pytest.approx(5 / 2 / (64 * np.log(2)))
    assert entry["dequantized"]["bracket"][0] <= entry["dequantized"]["bits_per_dim"]
