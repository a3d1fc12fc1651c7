"""Progress bar for training, sampling and all other long work."""

import sys

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(description: str, total: int, unit: str, done: int = 0) -> tqdm:
    """Returns a progress bar; it is shown on a terminal and in a notebook, and silent elsewhere.

    Args:
        description: text before the bar.
        total: number of units of the whole work.
        unit: name of a unit: "step".
        done: units that an earlier run has already done.
    """
    return tqdm(
        desc=description,
        total=total,
        initial=done,
        unit=unit,
        disable=not (sys.stderr.isatty() or _is_notebook()),
        dynamic_ncols=True,
    )


def _is_notebook() -> bool:
    """Whether standard error is shown below a notebook's cell."""
    return type(sys.stderr).__module__.partition(".")[0] == "ipykernel"
