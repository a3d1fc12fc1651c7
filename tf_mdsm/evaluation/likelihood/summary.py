"""What may be said of a likelihood, and why not more."""

import dataclasses
import math

import numpy as np

from tf_mdsm.evaluation.likelihood import bounds

__all__ = ["bits_per_dim", "judge", "objections"]


def judge(
    found: bounds.LogZBounds,
    drift: float,
    energies: dict[str, np.ndarray],
    size: int,
    temperature: float,
    tolerance: float,
    min_effective: float,
) -> dict[str, object]:
    """log Z and bits/dim with their brackets; values only if they have converged.

    Args:
        found: the bounds of log Z.
        drift: see `objections`, as are `size`, `tolerance` and `min_effective`.
        energies: name of a set of images to their energies, float64 [N].
        temperature: T.

    Returns:
        a dictionary for JSON: `summary` in one line, `converged`, `reasons` against it, `log_z`
        and each set's `bits_per_dim` (None unless converged), brackets, bounds with errors.
        Numbers that are not finite are None.
    """
    reasons = objections(found, size, tolerance, min_effective, drift)
    images, told = {}, []
    for name, energy in energies.items():
        low, value, high = (
            float(bits_per_dim(energy.mean(), log_z, size, temperature))
            for log_z in (found.low, found.log_z, found.high)
        )
        spread = energy.std() / math.sqrt(max(len(energy) - 1, 1))
        images[name] = {
            "bits_per_dim": None if reasons else value,
            "bracket": [low, high],
            "error_over_images": spread / (temperature * size * math.log(2)),
            "mean_energy": energy.mean(),
            "num_images": len(energy),
        }
        bits = f"[{low:.4f}, {high:.4f}] bits/dim"
        told.append(f"{name} {bits}" if reasons else f"{name} {value:.4f} in {bits}")
    summary = f"log Z in [{found.low:.2f}, {found.high:.2f}]; {', '.join(told)}"
    if reasons:
        summary = f"not converged, so no value: {'; '.join(reasons)}. So far {summary}"
    return _plain(
        {
            "summary": summary,
            "converged": not reasons,
            "reasons": reasons,
            "log_z": None if reasons else found.log_z,
            "log_z_bracket": [found.low, found.high],
            "log_z_lower": dataclasses.asdict(found.lower),
            "log_z_upper": dataclasses.asdict(found.upper),
            "upper_holds": "as far as the chains that go down begin at samples of the model",
            "drift_before_going_down": drift,
            "dimension": size,
            "images": images,
        }
    )


def bits_per_dim(
    energy: np.ndarray | float, log_z: float, size: int, temperature: float = 1.0
) -> np.ndarray | float:
    """(E / T + log Z) / (d log 2) + 8: bits a value of images in [0, 1]^d, seen as 256 levels.

    -log2 of the density p(x) = exp(-E(x) / T) / Z at the images themselves, for each of d values,
    plus 8 for cells of side 1/256: the density is taken to be constant on a cell. No noise is
    added to the images (no dequantisation): so this is the paper's number, comparable with
    others that are made in this way. It is no code length, and a density that crowds about
    the levels can make it as low as it likes.

    Args:
        energy: E(x) of images, any shape.
        log_z: log Z of exp(-E / T).
        size: d, values an image.
        temperature: T.
    """
    return (energy / temperature + log_z) / (size * math.log(2)) + 8


def objections(
    found: bounds.LogZBounds, size: int, tolerance: float, min_effective: float, drift: float
) -> list[str]:
    """Why log Z must not be presented as a value; empty if it may.

    Args:
        found: the bounds.
        size: d, values an image.
        tolerance: widest bracket, in bits a value.
        min_effective: smallest effective size, in both directions.
        drift: how many standard errors the mean of E_ref - E / T moved while the chains that then
            went down made moves at beta = 1; 0 for exact samples.
    """
    reasons = []
    width = (found.high - found.low) / (size * math.log(2))
    if not width <= tolerance:
        reasons.append(f"the bracket is {width:.3g} bits/dim wide, more than {tolerance:g}")
    apart = found.lower.mean - found.upper.mean
    if apart > found.lower.margin + found.upper.margin:
        reasons.append(f"the lower bound lies {apart:.3g} above the upper one")
    for name, bound in (("up", found.lower), ("down", found.upper)):
        if bound.effective_size < min_effective:
            reasons.append(
                f"the chains {name} are worth {bound.effective_size:.1f} of equal weight, "
                f"less than {min_effective:g}"
            )
    if not abs(drift) <= 4:
        reasons.append(
            f"the chains that go down had not come to rest: they drift by {drift:.1f} "
            "standard errors"
        )
    return reasons


def _plain(value: object) -> object:
    """JSON knows no infinity, and none of numpy's numbers."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
