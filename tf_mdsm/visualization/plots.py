"""Plots of arrays, drawn by matplotlib into pixels. Knows nothing of models."""

import io

import numpy as np
from PIL import Image

__all__ = ["annealing_plot", "curves", "energy_trace", "histograms", "image_rows", "landscapes"]

# Of a histogram.
_BINS = 60


def energy_trace(energies: np.ndarray, clock_name: str, clock: np.ndarray) -> np.ndarray:
    """Energies along chains, above what drives them.

    Args:
        energies: [steps, B].
        clock_name: what drives the chains: "temperature", say.
        clock: its value at each step, not negative, [steps].

    Returns:
        uint8 [H, W, 3].
    """
    figure, (above, below) = _figure(2, 1, (8, 6), sharex=True, height_ratios=(3, 1))
    above.plot(energies, color="tab:blue", alpha=min(1.0, 8 / energies.shape[1]), linewidth=0.7)
    above.plot(energies.mean(1), color="black", linewidth=1.5, label="mean over the chains")
    above.set_ylabel("energy E(x)")
    above.legend(loc="upper right")
    below.plot(clock, color="tab:red")
    if clock.min() > 0:
        below.set_yscale("log")
    else:
        below.set_yscale("symlog", linthresh=1.0)
    below.set_ylabel(clock_name)
    below.set_xlabel("step")
    return _pixels(figure)


def annealing_plot(
    betas: np.ndarray,
    differences: dict[str, np.ndarray],
    log_weights: dict[str, np.ndarray],
    title: str,
) -> np.ndarray:
    """Log weights of annealed chains, and what they add up along the way.

    Args:
        betas: inverse temperatures of the intervals' beginnings, [n].
        differences: direction to E_ref - E / T at each, [B, n].
        log_weights: direction to the log weights, [B].
        title: over both.

    Returns:
        uint8 [H, W, 3].
    """
    figure, (left, right) = _figure(1, 2, (11, 4.5))
    everything = np.concatenate(list(log_weights.values()))
    bins = np.linspace(everything.min() - 1e-3, everything.max() + 1e-3, 31)
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
    """Energies over the unit square as contours on one scale, points on the first.

    Args:
        energies: title to energy, [n, n], first axis y, second x.
        points: [N, 2], drawn on the first.

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


def histograms(values: dict[str, np.ndarray], xlabel: str) -> np.ndarray:
    """Distributions of several sets of numbers over one axis, each of area 1.

    The bins span what lies between the 1st and the 99th percentile of some set, so that a few
    far numbers do not press all others together; what lies outside is counted in the outermost.

    Args:
        values: label to finite numbers, any shape, at least one each.
        xlabel: what they are, with the unit.

    Returns:
        uint8 [H, W, 3].
    """
    flat = {label: np.ravel(numbers) for label, numbers in values.items()}
    ends = np.array([np.percentile(numbers, (1, 99)) for numbers in flat.values()])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    # Numbers that are all the same have bins round them.
    margin = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    figure, axes = _figure(1, 1, (8, 5))
    for label, numbers in flat.items():
        inside = np.clip(numbers, edges[0], edges[-1])
        axes.hist(inside, edges, density=True, histtype="stepfilled", alpha=0.35, label=label)
    axes.set(xlabel=xlabel, ylabel="density")
    axes.legend()
    return _pixels(figure)


def curves(
    lines: dict[str, tuple[np.ndarray, ...]],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    log_y: bool = False,
) -> np.ndarray:
    """Lines over one axis, each in a band of its error where it has one.

    Args:
        lines: label to (x, y) or (x, y, error), [n] each; the band is y - error … y + error.
        xlabel: what x is, with the unit.
        ylabel: what y is.
        log_x: draw x on a logarithmic axis.
        log_y: draw y on a logarithmic axis.

    Returns:
        uint8 [H, W, 3].
    """
    figure, axes = _figure(1, 1, (8, 5))
    for label, (x, y, *error) in lines.items():
        (line,) = axes.plot(x, y, marker="o", markersize=3, label=label)
        for width in error:
            low, high = np.subtract(y, width), np.add(y, width)
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
    axes.grid(which="both", alpha=0.2)
    axes.legend()
    return _pixels(figure)


def image_rows(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Images side by side, a labelled row a set.

    Args:
        rows: label to images of one size, float in [0, 1] (clipped), [n, H, W, C].

    Returns:
        uint8 [height, width, 3].
    """
    longest = max(len(images) for images in rows.values())
    figure, axes = _figure(len(rows), 1, (3 + 0.6 * longest, 0.62 * len(rows)), squeeze=False)
    for axis, (label, images) in zip(axes[:, 0], rows.items(), strict=True):
        _, height, width, channels = images.shape
        # A white column between two images, and white where a row is short.
        strip = np.ones((height, longest * (width + 1), channels), np.float32)
        for number, image in enumerate(images):
            left = number * (width + 1)
            strip[:, left : left + width] = np.clip(image, 0, 1)
        axis.imshow(strip.squeeze(-1) if channels == 1 else strip, cmap="gray", vmin=0, vmax=1)
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return _pixels(figure)


def _figure(rows: int, columns: int, size: tuple[float, float], **options):
    # Figures without pyplot: no display, no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def _pixels(figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return np.asarray(Image.open(buffer).convert("RGB"))
