"""The progress bar of all long work."""

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(description: str, total: int, unit: str, done: int = 0) -> tqdm:
    """A bar with rate and remaining time on a terminal; nothing elsewhere."""
    return tqdm(
        desc=description, total=total, initial=done, unit=unit, disable=None, dynamic_ncols=True
    )
