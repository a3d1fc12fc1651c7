"""Shapes of arrays, in which some sizes may be free."""

__all__ = ["fits"]


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether an array has the wanted shape, where None is any number but 0."""
    return len(shape) == len(wanted) and all(
        size > 0 if want is None else size == want for size, want in zip(shape, wanted, strict=True)
    )
