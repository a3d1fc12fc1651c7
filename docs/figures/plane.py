"""Figures of the eight Gaussians in the plane, the data of configs/mixture.py."""

from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from docs.figures.closed_forms import GaussianMixture, blended
from docs.figures.style import BLUE, GRAY, INK, ORANGE, SIGMA, new_figure
from tf_mdsm import Heun, NoiseLevels
from tf_mdsm.datasets.synthetic import MIXTURE_STD, mixture, mixture_means
from tf_mdsm.samplers import IsotropicStart, compile_chain, falling_sigmas

__all__ = ["MIXTURE", "BlendedField", "energy_and_score", "paths", "sampled_paths"]

MIXTURE = GaussianMixture(mixture_means().astype(float), MIXTURE_STD)

# Contours of an energy above its lowest value: close where it is low.
_HEIGHTS = [0, 0.25, 0.5, 1, 2, 4, 8, 16, 32]
# Dark where an energy is low, nearly white where it is high.
_BLUES = LinearSegmentedColormap.from_list("blues", ["#3182BD", "#9ECAE1", "#DEEBF7", "#FAFCFE"])

# The first and the last noise level of sampling.
_START, _END = 0.3, 0.003

# Noise levels of configs/mixture.py.
_NOISE = NoiseLevels(sigma_min=0.03, sigma_max=0.5, num_levels=16, spacing="geometric")


class BlendedField:
    """A target for samplers in the plane: the exact blind denoiser of many noise levels.

    Its energies are 0: it is a field of vectors, and Heun's method asks for no energy.

    Attributes:
        image_shape: a point is an image of one pixel and two channels.
        sigma0: the constant of the loss.
    """

    image_shape, sigma0 = (1, 1, 2), 0.1

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Energies 0, [B], and (D(x) - x) / sigma0^2, [B, 1, 1, 2]."""
        score = tf.ensure_shape(tf.numpy_function(self._score, [images], tf.float32), images.shape)
        return tf.zeros_like(images[:, 0, 0, 0]), score

    def _score(self, images: np.ndarray) -> np.ndarray:
        points = images.reshape(-1, 2).astype(float)
        sigmas = _NOISE.sigmas.astype(float)
        denoised = blended(MIXTURE, points, sigmas=sigmas, weights=sigmas**-2)
        return ((denoised - points) / self.sigma0**2).reshape(images.shape).astype(np.float32)


def energy_and_score() -> Figure:
    """The energy of the mixture under three noise levels, with arrows along the score."""
    figure, ((*axes,),) = new_figure(1, 3, 3.05, sharey=True)
    filled: Any = None
    for axis, sigma in zip(axes, (0.02, 0.1, 0.3), strict=True):
        filled = _draw_energy(axis, sigma)
        grid = (np.arange(13) + 0.5) / 13
        points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
        score = MIXTURE.score(points, sigma)
        length = np.linalg.norm(score, axis=1, keepdims=True)
        # Long arrows are shortened: they would cover each other.
        arrows = score / length * 0.062 * np.tanh(1.5 * length / np.median(length))
        axis.quiver(
            *points.T,
            *arrows.T,
            angles="xy",
            scale_units="xy",
            scale=1,
            color=INK,
            width=0.0065,
            headwidth=4,
            headlength=4,
            headaxislength=3.6,
        )
        axis.set_title(f"noise {SIGMA} = {sigma}")
    bar = figure.colorbar(filled, ax=axes, ticks=_HEIGHTS[:-1], aspect=22, pad=0.02)
    bar.ax.set_yticklabels([f"{height:g}" for height in _HEIGHTS[:-1]])
    bar.set_label("energy above the lowest")
    bar.outline.set_visible(False)
    return figure


def paths() -> Figure:
    """Paths of Heun's method from noise to the modes, and where many of them end."""
    figure, ((left, right),) = new_figure(1, 2, 4.5)
    ways = sampled_paths(1_000)
    left.plot(*MIXTURE.means.T, "+", color=INK, markersize=10, markeredgewidth=1.6, zorder=4)
    for way in ways[:, 1:17].transpose(1, 0, 2):
        left.plot(*way.T, color=BLUE, linewidth=1.3, marker=".", markersize=4.5)
        left.plot(*way[0], "o", color="white", markeredgecolor=ORANGE, markeredgewidth=1.6)
    left.set(title="from noise to the modes", xlim=(-0.5, 1.5), ylim=(-0.5, 1.5))
    right.plot(*mixture(1_000).reshape(-1, 2).T, ".", color="#BBBBBB", markersize=3.5, label="data")
    right.plot(*ways[-1].T, ".", color=BLUE, markersize=3.5, label="where paths end")
    right.set(title="1,000 ends", xlim=(0.05, 0.95), ylim=(0.05, 0.95))
    right.legend(loc="center", markerscale=3, handletextpad=0.2)
    for axis in (left, right):
        axis.set(aspect="equal", xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color="#CCCCCC")
    return figure


def sampled_paths(count: int) -> np.ndarray:
    """The states of Heun's method with the exact blind denoiser, 8 steps: [10, count, 2]."""
    method = Heun(falling_sigmas(_START, _END, num_levels=9), start=IsotropicStart(_START))
    chain = compile_chain(BlendedField(), method, show_every=1)(range(count))
    return chain.states.reshape(-1, count, 2)


def _draw_energy(axis: Any, sigma: float) -> Any:
    """Contours of the energy over the unit square."""
    grid = np.linspace(0, 1, 201)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    energy = MIXTURE.energy(points, sigma).reshape(201, 201)
    heights = energy - energy.min()
    colors = _BLUES(np.linspace(0, 1, len(_HEIGHTS)))
    filled = axis.contourf(grid, grid, heights, _HEIGHTS, colors=colors, extend="max")
    axis.contour(grid, grid, heights, _HEIGHTS[1:], colors=GRAY, linewidths=0.4)
    axis.set(aspect="equal", xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    return filled
