"""Plots of arrays by matplotlib, as uint8 pictures: energies, landscapes, histograms, curves."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["annealing_plot", "curves", "energy_trace", "histograms", "image_rows", "landscapes"]

# Number of bins of a histogram.
_BINS = 60


def energy_trace(energies: np.ndarray, schedule_name: str, schedule: np.ndarray) -> np.ndarray:
    """Plots energies during sampling, and below them the sampler's schedule.

    Args:
        energies: energies of B images at each step, [steps, B].
        schedule_name: name of the quantity that the schedule changes, such as "temperature".
        schedule: its value at each step, not negative, [steps].

    Returns:
        uint8 [H, W, 3].
    """
    figure, (above, below) = _figure(2, 1, (8, 6), sharex=True, height_ratios=(3, 1))
    above.plot(energies, color="tab:blue", alpha=min(1.0, 8 / energies.shape[1]), linewidth=0.7)
    above.plot(energies.mean(1), color="black", linewidth=1.5, label="mean over the chains")
    above.set_ylabel("energy E(x)")
    above.legend(loc="upper right")
    below.plot(schedule, color="tab:red")
    if schedule.min() > 0:
        below.set_yscale("log")
    else:
        below.set_yscale("symlog", linthresh=1.0)
    below.set_ylabel(schedule_name)
    below.set_xlabel("step")
    return _pixels(figure)


def annealing_plot(
    betas: np.ndarray,
    differences: dict[str, np.ndarray],
    log_weights: dict[str, np.ndarray],
    title: str,
) -> np.ndarray:
    """Plots annealed importance sampling: log weights, and the energy differences they sum up.

    Args:
        betas: inverse temperatures at which the intervals of the path begin, [n].
        differences: E_ref - E / T at each inverse temperature, [B, n], by direction of the path.
        log_weights: log weights [B], by direction of the path; the same two directions.
        title: the title above both plots.

    Returns:
        uint8 [H, W, 3].
    """
    figure, (left, right) = _figure(1, 2, (11, 4.5))
    all_weights = np.concatenate(list(log_weights.values()))
    bins = np.linspace(all_weights.min() - 1e-3, all_weights.max() + 1e-3, 31)
    for (name, weights), color in zip(log_weights.items(), ("tab:blue", "tab:red"), strict=True):
        left.hist(weights, bins, color=color, alpha=0.5, label=name)
        left.axvline(weights.mean(), color=color)
        low, middle, high = np.percentile(differences[name], (5, 50, 95), axis=0)
        right.plot(betas, middle, color=color, label=name)
        right.fill_between(betas, low, high, color=color, alpha=0.2, linewidth=0)
    left.set(xlabel="log weight (line: mean)", ylabel="chains")
    right.set(xlabel="inverse temperature", ylabel="E_ref - E / T (median, 5 to 95 %)")
    for axis in (left, right):
        axis.legend()
        axis.ticklabel_format(useOffset=False)
    figure.suptitle(title)
    return _pixels(figure)


def landscapes(energies: dict[str, np.ndarray], points: np.ndarray) -> np.ndarray:
    """Plots energies over the unit square as contours on one scale, side by side.

    Args:
        energies: energies [n, n] on a regular mesh, first axis y, second axis x, by title.
        points: points [N, 2] that are plotted on the first landscape.

    Returns:
        uint8 [H, W, 3].
    """
    figure, axes = _figure(1, len(energies), (5 * len(energies), 5), squeeze=False)
    heights = [energy - energy.min() for energy in energies.values()]
    levels = np.linspace(0, min(12, np.max(heights)), 25)
    for axis, title, height in zip(axes[0], energies, heights, strict=True):
        axis.contourf(height, levels, extent=(0, 1, 0, 1), cmap="viridis_r", extend="max")
        axis.set_title(title)
        axis.set_aspect("equal")
    axes[0, 0].plot(*points.T, ".", color="white", markersize=2)
    for axis in axes[0]:
        axis.set(xlim=(0, 1), ylim=(0, 1))
    return _pixels(figure)


def histograms(
    values: dict[str, np.ndarray], xlabel: str, marks: Mapping[str, float] | None = None
) -> np.ndarray:
    """Plots histograms of several sets of numbers over one axis, each with area 1.

    The bins cover the numbers between the 1st and the 99th percentile of every set. So a few
    distant numbers do not compress the plot. They are counted in the first or the last bin.

    Args:
        values: finite numbers of any shape, at least one, by label.
        xlabel: name of the quantity, with its unit.
        marks: numbers that get a vertical line each, wherever they lie, by label.

    Returns:
        uint8 [H, W, 3].
    """
    flat = {label: np.ravel(numbers) for label, numbers in values.items()}
    ends = np.array([np.percentile(numbers, (1, 99)) for numbers in flat.values()])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    # If all numbers are equal, the bins cover an interval around them.
    margin = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    figure, axes = _figure(1, 1, (8, 5))
    for label, numbers in flat.items():
        clipped = np.clip(numbers, edges[0], edges[-1])
        axes.hist(clipped, edges, density=True, histtype="stepfilled", alpha=0.35, label=label)
    for label, number in (marks or {}).items():
        axes.axvline(number, color="black", linewidth=1.5, label=label)
    axes.set(xlabel=xlabel, ylabel="density")
    axes.legend()
    return _pixels(figure)


def curves(
    lines: Mapping[str, Sequence[np.ndarray]],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    log_y: bool = False,
) -> np.ndarray:
    """Plots lines over one axis, with a band of the error around each line that has errors.

    Args:
        lines: (x, y) or (x, y, error), [n] each, by label. The band is y - error … y + error.
        xlabel: name of x, with its unit.
        ylabel: name of y, with its unit.
        log_x: use a logarithmic axis for x.
        log_y: use a logarithmic axis for y.

    Returns:
        uint8 [H, W, 3].
    """
    figure, axes = _figure(1, 1, (8, 5))
    for label, (x, y, *error) in lines.items():
        (line,) = axes.plot(x, y, marker="o", markersize=3, label=label)
        for half_width in error:
            low, high = np.subtract(y, half_width), np.add(y, half_width)
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
    axes.grid(which="both", alpha=0.2)
    axes.legend()
    return _pixels(figure)


def image_rows(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Plots sets of images, one labeled row for each set.

    Args:
        rows: images of one size, float in [0, 1] (clipped), [n, H, W, C], by label.

    Returns:
        uint8 [height, width, 3].
    """
    longest = max(len(images) for images in rows.values())
    figure, axes = _figure(len(rows), 1, (3 + 0.6 * longest, 0.62 * len(rows)), squeeze=False)
    for axis, (label, images) in zip(axes[:, 0], rows.items(), strict=True):
        _, height, width, channels = images.shape
        # White remains between the images, and at the end of a row with fewer images.
        strip = np.ones((height, longest * (width + 1), channels), np.float32)
        for index, image in enumerate(images):
            left = index * (width + 1)
            strip[:, left : left + width] = np.clip(image, 0, 1)
        axis.imshow(strip.squeeze(-1) if channels == 1 else strip, cmap="gray", vmin=0, vmax=1)
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return _pixels(figure)


def _figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    """A figure of this size in inches and its axes, made without pyplot: it has global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def _pixels(figure: Any) -> np.ndarray:
    """The figure as uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return np.asarray(Image.open(buffer, formats=("PNG",)).convert("RGB"))
