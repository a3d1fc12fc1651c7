"""Figures about noise levels: shells, one level against many, and what training learns."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from docs.figures.closed_forms import (
    GaussianMixture,
    best_error,
    blend_error,
    blended,
    distance_density,
    energy_along_a_line,
    mixed_energy,
    one_level_error,
    seen_noise,
    shell_density,
)
from docs.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, SIGMA, new_figure
from tf_mdsm import NoiseLevels

__all__ = ["blend_errors", "learned_energies", "one_level", "shells"]

# As in configs/digits.py: 8 by 8 pixels, whose standard deviation is about 0.25.
_DIMENSION, _STD = 64, 0.25
_DIGITS_NOISE = NoiseLevels(sigma_min=0.1, sigma_max=3.0, num_levels=64, spacing="geometric")

# Which of the ten levels of the figure of shells is emphasized.
_CHOSEN = 4

# As in configs/mixture.py, but two modes on a line.
_LINE = GaussianMixture(np.array([[0.2], [0.8]]), 0.03)
_LINE_NOISE = NoiseLevels(sigma_min=0.03, sigma_max=0.5, num_levels=16, spacing="geometric")


def shells() -> Figure:
    """Lengths of Gaussian noise in 2, 64 and 1,024 dimensions; distances under ten levels."""
    figure, ((left, right),) = new_figure(1, 2, 3.3)
    values = np.linspace(0, 2.4, 2_001)
    for dimension, color, place in (
        (2, PURPLE, (1.4, 0.53)),
        (64, BLUE, (0.53, 0.25)),
        (1_024, ORANGE, (1.0, 1.03)),
    ):
        density = shell_density(values, dimension)
        _draw_hill(left, values, density, color)
        side = "center" if dimension == 1_024 else "left"
        left.text(*place, f"d = {dimension:,}", color=color, ha=side)
    left.set(xlabel="length of the noise, divided by √d", xlim=(0, 2.4))
    distances = np.geomspace(0.5, 40, 2_001)
    for index, sigma in enumerate(_DIGITS_NOISE.sigmas[::7].astype(float)):
        color = ORANGE if index == _CHOSEN else BLUE
        # The density on a logarithmic axis.
        density = distances * distance_density(distances, _DIMENSION, sigma)
        _draw_hill(right, distances, density, color)
        right.text(8 * sigma, 1.03, f"{sigma:.2g}", color=color, ha="center", fontsize=9.5)
    right.text(0.51, 1.03, SIGMA + " =", ha="left", fontsize=9.5)
    right.set(xscale="log", xlim=(0.5, 40), xlabel="distance of the noisy image from the clean one")
    right.set_xticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
    right.minorticks_off()
    for axis in (left, right):
        axis.set(ylabel="how often", yticks=[], ylim=(0, 1.15))
    return figure


def _draw_hill(axis: Any, places: np.ndarray, density: np.ndarray, color: str) -> None:
    """A density with its maximum scaled to 1, where it is not nearly 0."""
    height = density / density.max()
    shown = height > 1e-3
    axis.fill_between(places[shown], height[shown], color=color, alpha=0.22, linewidth=0)
    axis.plot(places[shown], height[shown], color=color, linewidth=1.8)


def one_level() -> Figure:
    """Errors of denoisers of one level and of the blend of 64, relative to the best."""
    figure, ((axis,),) = new_figure(1, 1, 3.7)
    sigmas = np.geomspace(0.1, 3.0, 121)
    best = best_error(_STD, sigmas)
    errors = {
        f"only {SIGMA} = {trained:g}": (one_level_error(_STD, sigmas, trained), color)
        for trained, color in ((0.1, PURPLE), (0.5, ORANGE), (3.0, GREEN))
    }
    places = ((0.9, 16), (2.2, 5.5), (0.155, 4.3))
    for (label, (error, color)), place in zip(errors.items(), places, strict=True):
        axis.plot(sigmas, error / best, color=color)
        axis.text(*place, label, color=color, ha="left" if color == GREEN else "right")
    blend = blend_errors(sigmas)
    axis.plot(sigmas, blend / best, color=BLUE, linewidth=4)
    axis.text(0.55, 0.78, f"64 levels, without being given {SIGMA}", color=BLUE, ha="center")
    axis.set(xscale="log", yscale="log", xlim=(0.1, 3), ylim=(0.72, 120))
    axis.set_xticks([0.1, 0.2, 0.5, 1, 2, 3], ["0.1", "0.2", "0.5", "1", "2", "3"])
    ticks = {1: "the best", **{times: f"{times} times" for times in (2, 5, 10, 20, 50, 100)}}
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.set(xlabel=f"noise level {SIGMA} of the image", ylabel="mean square error")
    return figure


def blend_errors(sigmas: np.ndarray) -> np.ndarray:
    """Errors of the blind denoiser of the 64 levels, at each noise level."""
    levels = _DIGITS_NOISE.sigmas.astype(float)
    training = {"sigmas": levels, "weights": levels**-2}
    return np.array([blend_error(_STD, s, dimension=_DIMENSION, **training) for s in sigmas])


def learned_energies() -> Figure:
    """Energies along a line with two modes, and the noise level that the blend assumes there."""
    figure, ((above,), (below,)) = new_figure(2, 1, 4.7, sharex=True, height_ratios=(2, 1))
    places = np.linspace(-0.2, 1.2, 2_801)
    points, sigmas = places[:, None], _LINE_NOISE.sigmas.astype(float)
    levels = {"sigmas": sigmas, "weights": sigmas**-2}
    sigma0 = _LINE_NOISE.sigma0
    blend = energy_along_a_line(places, blended(_LINE, points, **levels)[:, 0], sigma0)
    curves = (
        (r"blend, weight $1/\sigma^2$", blend, BLUE, "-"),
        ('weighting "score"', mixed_energy(_LINE, points, sigmas), ORANGE, "-"),
        (f"one smoothed density, {SIGMA} = {sigma0}", _LINE.energy(points, sigma0), INK, "--"),
    )
    for label, energy, color, line in curves:
        above.plot(places, energy - energy.min(), line, color=color, label=label)
    above.set(ylabel="energy above the lowest", ylim=(0, 8))
    above.legend(loc="upper center")
    below.plot(places, seen_noise(_LINE, points, **levels), color=BLUE)
    below.axhline(sigma0, color=INK, linestyle="--", linewidth=1.3)
    below.set(
        xlabel="place x on the line",
        ylabel=f"{SIGMA} of the blend",
        ylim=(0, 0.33),
        xlim=(-0.2, 1.2),
    )
    for axis in (above, below):
        for mean in _LINE.means[:, 0]:
            axis.axvline(mean, color=GRAY, linewidth=0.8, linestyle=":")
    return figure
