"""Figures of digits, by the trained model that comes along (examples/digits)."""

import functools
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import tf_mdsm
from docs.figures.style import BLUE, INK, SIGMA, new_figure
from tf_mdsm import losses
from tf_mdsm.restoration import Inpainting
from tf_mdsm.runs.build_data import build_images
from tf_mdsm.samplers import compile_chain

__all__ = ["blind_denoiser", "filling_in", "from_noise_to_image"]

_RUN = pathlib.Path(__file__).parents[2] / "examples" / "digits"

# Validation images: the one that is denoised, and those that are filled in.
_DIGIT, _HALVES = 32, [7, 12]
# Of the images that are sampled; chosen so that they show different digits.
_SEEDS = (5, 19, 27, 44)


@functools.cache
def _run() -> tf_mdsm.runs.Run:
    return tf_mdsm.load(_RUN)


@functools.cache
def validation_images() -> np.ndarray:
    """The digits that the model was not trained on, [180, 8, 8, 1]."""
    return build_images(_run().config)[1]


def noisy_copies(images: np.ndarray, sigma: float, *, seed: int) -> np.ndarray:
    """Images with noise of level sigma."""
    noise = np.random.default_rng(seed).standard_normal(images.shape)
    return (images + sigma * noise).astype(np.float32)


def denoised_and_levels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """D(x) of each image, and the noise level |x - D(x)| / sqrt(d) that it finds, [N]."""
    noisy = tf.constant(images)
    denoised = _run().model.denoise(noisy)
    return denoised.numpy(), losses.noise_level(noisy, denoised).numpy()


def blind_denoiser() -> Figure:
    """A digit under rising noise, denoised, and the noise level found in all validation images."""
    figure, axes = new_figure(2, 5, 3.25, width_ratios=(1, 1, 1, 1, 2.3))
    digit = validation_images()[_DIGIT, None]
    sigmas = (0.1, 0.3, 1.0)
    noisy = np.concatenate([digit, *(noisy_copies(digit, s, seed=0) for s in sigmas)])
    denoised, found = denoised_and_levels(noisy)
    for column, sigma in enumerate((0.0, *sigmas)):
        show(axes[0, column], noisy[column])
        show(axes[1, column], denoised[column])
        axes[0, column].set_title(f"{SIGMA} = {sigma:g}")
        axes[1, column].set_title(f"found: {found[column]:.2f}", color=BLUE)
    axes[0, 0].set_ylabel("noisy: x")
    axes[1, 0].set_ylabel("denoised: D(x)")
    for axis in axes[:, 4]:
        axis.remove()
    _draw_found_levels(figure.add_subplot(axes[0, 4].get_gridspec()[:, 4]))
    return figure


def _draw_found_levels(axis: Any) -> None:
    """The true noise level against the one that the denoiser finds, over all validation images."""
    sigmas = np.geomspace(0.1, 3, 16)
    found = np.stack(
        [denoised_and_levels(noisy_copies(validation_images(), s, seed=1))[1] for s in sigmas]
    )
    low, middle, high = np.percentile(found, (5, 50, 95), axis=1)
    axis.plot(sigmas, sigmas, "--", color=INK, linewidth=1.2, label="equal")
    axis.fill_between(sigmas, low, high, color=BLUE, alpha=0.25, linewidth=0)
    axis.plot(sigmas, middle, color=BLUE, label="median of 180 digits")
    axis.set(xscale="log", yscale="log")
    for ticks in (axis.set_xticks, axis.set_yticks):
        ticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    axis.minorticks_off()
    axis.set(xlabel="true noise level", ylabel="found noise level")
    axis.legend(loc="upper left", fontsize=8.5)
    axis.spines[["top", "right"]].set_visible(False)


def from_noise_to_image() -> Figure:
    """The states of the run's sampler for four seeds, and the denoised image of each state."""
    run = _run()
    states = compile_chain(run.target, run.method, show_every=1)(_SEEDS).states
    guesses = np.stack([np.asarray(run.model.denoise(images)) for images in states[:-1]])
    first_sigma, *sigmas = run.method.sigmas
    titles = [f"{SIGMA} = {first_sigma:.2g}", *(f"{sigma:.2g}" for sigma in sigmas)]
    halves = (
        ("the image x on its way", states, [*titles, "end"]),
        ("the guess D(x) of each", guesses, titles),
    )
    lengths = [len(images) for _, images, _ in halves]
    figure, axes = new_figure(
        len(_SEEDS),
        sum(lengths) + 1,
        3.45,
        width_ratios=[1] * lengths[0] + [0.3] + [1] * lengths[1],
    )
    for axis in axes[:, lengths[0]]:
        axis.remove()
    for first, (name, images, names) in zip((0, lengths[0] + 1), halves, strict=True):
        for row, column in np.ndindex(len(_SEEDS), len(images)):
            show(axes[row, first + column], images[column, row])
        for column, title in enumerate(names):
            axes[0, first + column].set_title(title, fontsize=10.5)
        axes[-1, first + 2].set_xlabel(name, fontsize=11)
    return figure


def filling_in() -> Figure:
    """Digits whose lower half is hidden, three fillings each, and the digits themselves."""
    digits = validation_images()[_HALVES]
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    operator = Inpainting(mask)
    values = operator.measure(np.repeat(digits, 3, axis=0))
    seeds = [3 * digit + filling for digit in _HALVES for filling in range(3)]
    filled = _run().restore(values, operator, seeds=seeds).reshape(len(digits), 3, 8, 8, 1)
    figure, axes = new_figure(len(digits), 7, 3.3, width_ratios=(1, 0.25, 1, 1, 1, 0.25, 1))
    for row, digit in enumerate(digits):
        show(axes[row, 0], digit, hidden=~mask)
        for column in range(3):
            show(axes[row, 2 + column], filled[row, column])
        show(axes[row, 6], digit)
        axes[row, 1].remove()
        axes[row, 5].remove()
    for column, title in ((0, "given"), (3, "three fillings"), (6, "the digit")):
        axes[0, column].set_title(title)
    return figure


def show(axis: Any, image: np.ndarray, *, hidden: np.ndarray | None = None) -> None:
    """Draws a gray image [H, W, 1], clipped to [0, 1]; hidden pixels [H, W] are hatched."""
    height, width = image.shape[:2]
    pixels = np.clip(image[..., 0], 0, 1)
    if hidden is not None:
        pixels = np.where(hidden, np.nan, pixels)
        rows, columns = np.nonzero(hidden)
        axis.fill_between(
            (columns.min() - 0.5, columns.max() + 0.5),
            rows.min() - 0.5,
            rows.max() + 0.5,
            facecolor="#DCE9F3",
            edgecolor=BLUE,
            hatch="//",
            linewidth=0,
        )
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axis.spines[:].set_visible(False)
