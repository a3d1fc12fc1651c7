"""Report of a likelihood estimate: bits per dimension, and whether the bounds have converged."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float, to_float_array
from tf_mdsm.errors import RunError
from tf_mdsm.evaluation.likelihood.bits_per_dim import bits_of_cells, bits_per_dim
from tf_mdsm.evaluation.likelihood.bounds import LogZBounds
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.estimate import LogZEstimate
from tf_mdsm.evaluation.likelihood.rays import RayEnergies, energies_along_rays
from tf_mdsm.evaluation.likelihood.reference import Reference

__all__ = [
    "IMAGE_SET_LABELS",
    "confinement_failures",
    "convergence_failures",
    "dequantize",
    "domain_warnings",
    "image_energies",
    "likelihood_report",
    "summarize",
]

# A larger drift, in standard errors, means that chains were not in equilibrium.
_MAX_DRIFT = 4

# States of chains from which a ray starts, at most.
_MAX_RAYS = 192

# Sets of images of likelihood.json, and what they are called in text.
IMAGE_SET_LABELS = {
    "held_out": "validation images",
    "training": "training images",
    "given": "given images",
}


def likelihood_report(
    estimate: LogZEstimate,
    energy_fn: Callable[[tf.Tensor], tf.Tensor],
    reference: Reference,
    image_sets: dict[str, np.ndarray],
    *,
    gray_levels: int | None,
    batch_size: int,
    temperature: float,
    tolerance: float,
    min_effective: float,
    seed: int = 0,
) -> dict[str, object]:
    """Report of an estimate for likelihood.json: bits/dim on its domain, bounds, acceptance.

    Args:
        estimate: bounds of log Z, and the chains.
        energy_fn: E, images, float32 [B, H, W, C], to energies [B].
        reference: the reference, whose own bits/dim are reported for comparison.
        image_sets: name to images, uint8 or float in [0, 1], [N, H, W, C].
        gray_levels: as `count_gray_levels` counts them in the images of the data set.
        batch_size: images at a time.
        temperature: T.
        tolerance: as in `convergence_failures`.
        min_effective: as in `convergence_failures`.
        seed: seed of the rays' directions, and of the noise that dequantizes.

    Raises:
        RunError: if the energy of an image is not finite.
    """
    size = math.prod(reference.image_shape)
    energies = image_energies(energy_fn, image_sets, batch_size)
    reference_energies = image_energies(
        lambda images: reference.energy_and_score(images)[0], image_sets, batch_size
    )
    rays = energies_along_rays(
        energy_fn, estimate.states[:_MAX_RAYS], reference.domain, seed=seed, batch_size=batch_size
    )
    dequantized = None
    if gray_levels is not None:
        noisy = dequantize(image_sets, gray_levels, seed)
        dequantized = image_energies(energy_fn, noisy, batch_size)
    return {
        **summarize(
            estimate.bounds,
            energies,
            domain=reference.domain,
            rays=rays,
            gray_levels=gray_levels,
            drift=estimate.drift,
            size=size,
            temperature=temperature,
            tolerance=tolerance,
            min_effective=min_effective,
            dequantized=dequantized,
        ),
        "acceptance": {
            direction: _acceptance(accepted) for direction, accepted in estimate.accepted.items()
        },
        "step_sizes": [float(estimate.step_sizes.min()), float(estimate.step_sizes.max())],
        "thermodynamic_length": estimate.thermodynamic_length,
        "log_mass_of_reference": _json_value(dataclasses.asdict(reference.log_mass)),
        # The reference's log Z on the domain is known.
        "reference_bits_per_dim": {
            name: float(
                bits_per_dim(
                    energy.mean(),
                    reference.log_mass.value,
                    size,
                    cell_bits=bits_of_cells(gray_levels),
                )
            )
            for name, energy in reference_energies.items()
        },
    }


def _acceptance(accepted: np.ndarray) -> dict[str, float]:
    """Mean and extremes over the intervals of accepted fractions [N, n]."""
    means = accepted.mean(axis=0)
    return {
        "mean": float(means.mean()),
        "lowest": float(means.min()),
        "highest": float(means.max()),
    }


def dequantize(
    image_sets: dict[str, np.ndarray], gray_levels: int, seed: int
) -> dict[str, np.ndarray]:
    """Images with noise that is uniform in the cells of their gray levels, float32.

    The mean of -log of a density over a cell bounds -log of its probability from above (Theis et
    al. 2016, "A note on the evaluation of generative models", equation 2). Cells reach half way
    to the neighbouring levels.

    Args:
        image_sets: name to images, uint8 or float in [0, 1], [N, H, W, C].
        gray_levels: number n of the levels k / (n - 1).
        seed: seed of the noise.
    """
    random, noisy = np.random.default_rng(seed), {}
    for name, images in image_sets.items():
        pixels = to_float_array(images)
        noise = random.uniform(-0.5, 0.5, pixels.shape) / (gray_levels - 1)
        noisy[name] = (pixels + noise).astype(np.float32)
    return noisy


def image_energies(
    energy_fn: Callable[[tf.Tensor], tf.Tensor],
    image_sets: dict[str, np.ndarray],
    batch_size: int,
) -> dict[str, np.ndarray]:
    """Energies of several sets of images, float64 [N] each.

    Args:
        energy_fn: images, float32 [B, H, W, C], to energies [B].
        image_sets: name to images, uint8 or float in [0, 1], [N, H, W, C].
        batch_size: images at a time.

    Raises:
        RunError: if an energy is not finite.
    """
    compiled: Any = tf.function(energy_fn, autograph=False, reduce_retracing=True)
    energies = {}
    for name, images in image_sets.items():
        batches = [
            compiled(to_float(tf.constant(images[first : first + batch_size]))).numpy()
            for first in range(0, len(images), batch_size)
        ]
        energies[name] = np.concatenate(batches).astype(np.float64)
        if not np.isfinite(energies[name]).all():
            label = IMAGE_SET_LABELS.get(name, name)
            raise RunError(f"the energy of one of the {label} is not finite")
    return energies


def summarize(
    bounds: LogZBounds,
    energies: dict[str, np.ndarray],
    *,
    domain: Domain,
    rays: RayEnergies,
    gray_levels: int | None,
    drift: float,
    size: int,
    temperature: float,
    tolerance: float,
    min_effective: float,
    dequantized: dict[str, np.ndarray] | None = None,
) -> dict[str, object]:
    """log Z and bits/dim with their bounds, as JSON; values only if the bounds have converged.

    Args:
        bounds: bounds of log Z.
        energies: name of a set of images to their energies, float64 [N].
        domain: where the density is normalized.
        rays: energies along rays from the chains' states.
        gray_levels: as `count_gray_levels` counts them.
        drift: as in `convergence_failures`.
        size: number of values of an image, d.
        temperature: T.
        tolerance: as in `convergence_failures`.
        min_effective: as in `convergence_failures`.
        dequantized: as `energies`, of the images with noise uniform in the cells of their levels.

    Returns:
        a dictionary for JSON: `summary` in one line; `converged`; `reasons` why not; `warnings`;
        `domain`, `rays` and `cells`; `log_z` and each set's `bits_per_dim` (None unless
        converged) with their bounds, under `log_z_bracket` and `bracket`; `dequantized` with the
        same of images with noise, whose mean is a bound of -log2 of the probability of their
        cells; both one-sided bounds with errors. Numbers that are not finite are None.
    """
    failures = convergence_failures(
        bounds, drift=drift, size=size, tolerance=tolerance, min_effective=min_effective
    ) + confinement_failures(rays, size=size, temperature=temperature)
    warnings = domain_warnings(rays)
    cell_bits = bits_of_cells(gray_levels)
    images = {
        name: _image_likelihood(bounds, energy, size, temperature, cell_bits)
        for name, energy in energies.items()
    }
    for name, energy in (dequantized or {}).items():
        entry = _image_likelihood(bounds, energy, size, temperature, cell_bits)
        images[name]["dequantized"] = {key: entry[key] for key in ("bits_per_dim", "bracket")}
    summary = _summary_line(bounds, images, failures, domain, gray_levels)
    summary = "; ".join([summary, *warnings])
    if failures:
        for entry in images.values():
            entry["bits_per_dim"] = None
            if "dequantized" in entry:
                entry["dequantized"]["bits_per_dim"] = None
    # Earlier versions have written these keys too, and reports of evaluations read them.
    content = {
        "summary": summary,
        "converged": not failures,
        "reasons": failures,
        "warnings": warnings,
        "domain": [domain.low, domain.high],
        "rays": dataclasses.asdict(rays),
        "cells": {"gray_levels": gray_levels, "bits": cell_bits},
        "log_z": None if failures else bounds.log_z,
        "log_z_bracket": [bounds.low, bounds.high],
        "log_z_lower": dataclasses.asdict(bounds.lower),
        "log_z_upper": dataclasses.asdict(bounds.upper),
        "upper_holds": "as far as the chains down begin at samples of the model",
        "drift_before_going_down": drift,
        "dimension": size,
        "images": images,
    }
    return {name: _json_value(value) for name, value in content.items()}


def _image_likelihood(
    bounds: LogZBounds, energy: np.ndarray, size: int, temperature: float, cell_bits: float
) -> dict[str, Any]:
    """Bits/dim of a set of images with energies [N]: value, bounds, standard error."""
    low, value, high = (
        float(bits_per_dim(energy.mean(), log_z, size, temperature, cell_bits=cell_bits))
        for log_z in (bounds.low, bounds.log_z, bounds.high)
    )
    error = energy.std() / math.sqrt(max(len(energy) - 1, 1))
    return {
        "bits_per_dim": value,
        "bracket": [low, high],
        "error_over_images": error / (temperature * size * math.log(2)),
        "mean_energy": energy.mean(),
        "num_images": len(energy),
    }


def _summary_line(
    bounds: LogZBounds,
    images: dict[str, dict[str, Any]],
    failures: list[str],
    domain: Domain,
    gray_levels: int | None,
) -> str:
    """One line: bounds of log Z and of bits/dim, with the values, or why there are none."""
    cells = f"{gray_levels} gray levels" if gray_levels else "no gray levels: bits of the density"
    reported = []
    for name, entry in images.items():
        low, high = entry["bracket"]
        value = "" if failures else f" {entry['bits_per_dim']:.4f} in"
        label = IMAGE_SET_LABELS.get(name, name)
        reported.append(f"{label}{value} [{low:.4f}, {high:.4f}] bits/dim")
    line = (
        f"log Z in [{bounds.low:.2f}, {bounds.high:.2f}] on pixels in "
        f"[{domain.low:g}, {domain.high:g}]; {', '.join(reported)} ({cells})"
    )
    if failures:
        reasons = "; ".join(failures)
        return f"not converged, so no value is reported: {reasons}. So far {line}"
    return line


def convergence_failures(
    bounds: LogZBounds, *, drift: float, size: int, tolerance: float, min_effective: float
) -> list[str]:
    """Reasons why log Z must not be reported as a value; empty if it may.

    Args:
        bounds: bounds of log Z.
        drift: change of the mean of E_ref - E / T during the equilibration of the chains down, in
            standard errors; 0 for exact samples.
        size: number of values of an image, d.
        tolerance: largest distance of the bounds, in bits per dimension.
        min_effective: smallest effective sample size, in both directions.
    """
    failures = []
    width = (bounds.high - bounds.low) / (size * math.log(2))
    if not width <= tolerance:
        failures.append(f"the bounds are {width:.3g} bits/dim apart, more than {tolerance:g}")
    excess = bounds.lower.mean - bounds.upper.mean
    if excess > bounds.lower.margin + bounds.upper.margin:
        failures.append(f"the lower bound lies {excess:.3g} above the upper one")
    for direction, bound in (("up", bounds.lower), ("down", bounds.upper)):
        if bound.effective_size < min_effective:
            failures.append(
                f"the chains {direction} have an effective sample size of "
                f"{bound.effective_size:.1f}, less than {min_effective:g}"
            )
    if not abs(drift) <= _MAX_DRIFT:
        failures.append(
            f"the chains down had not reached equilibrium: they drift by {drift:.1f} "
            "standard errors"
        )
    return failures


def confinement_failures(rays: RayEnergies, *, size: int, temperature: float) -> list[str]:
    """Reasons to doubt that the chains have reached the whole domain; empty if there are none.

    A mode of a Gaussian lies d T / 2 below its typical states. An energy lower than that belongs
    to another region, whose mass the upper bound may lack.

    Args:
        rays: energies along rays from the chains' states.
        size: number of values of an image, d.
        temperature: T.
    """
    if rays.start - rays.inside <= size * temperature / 2:
        return []
    return [
        f"inside the domain the energy falls to {rays.inside:.5g}, far below that of all chains, "
        f"{rays.start:.5g}: they have not reached all of it"
    ]


def domain_warnings(rays: RayEnergies) -> list[str]:
    """What must be said about the density beyond its domain; empty if nothing."""
    if not rays.falls_beyond:
        return []
    return [
        f"beyond the domain the energy falls to {rays.beyond:.5g}, below {rays.start:.5g} inside: "
        "it is a density on the domain only"
    ]


def _json_value(value: object) -> object:
    """A value as JSON can hold it: no NumPy numbers, and None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _json_value(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_json_value(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
