"""Pictures made of arrays, and the files that hold them. Knows nothing of models."""

import io
import math

import numpy as np
from PIL import Image

from tf_mdsm.files import written_whole

__all__ = [
    "annealing_plot",
    "energy_trace",
    "image_grid",
    "landscapes",
    "to_uint8",
    "write_gif",
    "write_png",
]

# Small images are enlarged to tiles of about this many pixels.
_TILE = 64


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1], clipped and rounded to 256 levels."""
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images side by side, row by row, with a narrow frame round each.

    Args:
        images: float in [0, 1] (clipped), [N, H, W, C], C = 1 or 3.
        columns: images a row; None: about as many as rows.

    Returns:
        uint8 [height, width, C].
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = max(1, round(_TILE / height))
    tiles = to_uint8(images).repeat(scale, axis=1).repeat(scale, axis=2)
    frame = 2
    cells = np.full(
        (rows * columns, height * scale + frame, width * scale + frame, channels), 128, np.uint8
    )
    cells[:count, frame:, frame:] = tiles
    grid = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    grid = grid.reshape(rows * cells.shape[1], columns * cells.shape[2], channels)
    return np.pad(grid, ((0, frame), (0, frame), (0, 0)), constant_values=128)


def write_png(pixels: np.ndarray, path: str) -> None:
    """Writes a picture, uint8 [H, W, 1 or 3]."""
    with written_whole(path) as partial:
        _image(pixels).save(partial)


def write_gif(frames: list[np.ndarray], path: str, milliseconds: int = 100) -> None:
    """Writes pictures of one size as an animation that pauses on the last."""
    first, *rest = [_image(frame) for frame in frames]
    durations = [milliseconds] * len(rest) + [10 * milliseconds]
    with written_whole(path) as partial:
        first.save(partial, save_all=True, append_images=rest, duration=durations, loop=0)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


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
