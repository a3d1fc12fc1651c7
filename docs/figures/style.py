"""The look of the figures: size, letters, colors that all readers can tell apart, small files."""

import io
import os
from collections.abc import Callable
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tf_mdsm.system.atomic import atomic_write

__all__ = [
    "BLUE",
    "GRAY",
    "GREEN",
    "INK",
    "ORANGE",
    "PURPLE",
    "SIGMA",
    "WIDTH",
    "new_figure",
    "write",
]

# The colors of Okabe and Ito, which color-blind readers can tell apart too.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, GRAY = "#222222", "#8A8A8A"

SIGMA = r"$\sigma$"

# A page shows a figure 900 pixels wide; the file has twice as many.
WIDTH, _PIXELS_PER_INCH, _COLORS = 9.0, 200, 128

_LOOK: Any = {
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.labelsize": 10.5,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}


def new_figure(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of the page's width and its axes, made without pyplot: it has global state.

    Args:
        rows: number of rows of axes.
        columns: number of columns of axes.
        height: in inches; the width is 9.
        options: as of `Figure.subplots`.
    """
    figure = Figure((WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def write(draw: Callable[[], Figure], path: str | os.PathLike) -> None:
    """Draws a figure in this look and writes it as a PNG file of few colors, which is small."""
    picture = io.BytesIO()
    with rc_context(_LOOK):
        draw().savefig(picture, format="png", dpi=_PIXELS_PER_INCH, facecolor="white")
    few = Image.open(picture).convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    with atomic_write(os.fspath(path)) as partial:
        few.save(partial, optimize=True)
