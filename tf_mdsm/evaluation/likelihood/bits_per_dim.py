"""Bits per dimension of images, from their energy and log Z; gray levels of images."""

import math

import numpy as np

__all__ = ["bits_of_cells", "bits_per_dim", "count_gray_levels"]

# Images whose pixels are looked at together.
_BATCH = 1_024


def bits_per_dim(
    energy: float, log_z: float, size: int, temperature: float = 1.0, *, cell_bits: float
) -> float:
    """Bits per dimension of images in [0, 1]^d: (E / T + log Z) / (d log 2) + cell_bits.

    This is -log2 of the density p(x) = exp(-E(x) / T) / Z at the images themselves, divided by
    d, plus the bits of a cell: the density is assumed to be constant on the cell of an image. No
    noise is added to the images (no dequantization). So the number is that of the paper,
    comparable with others that are computed in the same way. It is not a code length: a density
    that is concentrated at the gray levels can make it arbitrarily low.

    Args:
        energy: energy E(x), or the mean energy of some images.
        log_z: log Z of exp(-E / T) on its domain.
        size: number of values of an image, d.
        temperature: T.
        cell_bits: -log2 of the side of a cell, see `bits_of_cells`; 0 for the density's own bits.
    """
    return (energy / temperature + log_z) / (size * math.log(2)) + cell_bits


def bits_of_cells(gray_levels: int | None) -> float:
    """-log2 of the distance of two neighbouring gray levels, 1 / (levels - 1); 0 without levels."""
    return math.log2(gray_levels - 1) if gray_levels else 0.0


def count_gray_levels(*image_sets: np.ndarray) -> int | None:
    """The smallest number n of gray levels k / (n - 1) that all pixels of some images have.

    Photographs have 256 levels, scikit-learn's digits 17, and images in black and white 2.

    Args:
        image_sets: images, uint8 or float in [0, 1], [N, H, W, C].

    Returns:
        n, between 2 and 256; None if the pixels are not at 256 levels, as computed images.
    """
    values = np.zeros(0)
    for images in image_sets:
        scale = 255 if images.dtype == np.uint8 else 1
        for first in range(0, len(images), _BATCH):
            found = np.unique(images[first : first + _BATCH]) / scale
            # Rounded alike, a level is the same value in bytes and in floats.
            values = np.union1d(values, found.astype(np.float32))
            if len(values) > 256:
                return None
    are_bytes = all(images.dtype == np.uint8 for images in image_sets)

    def are_levels(intervals: int) -> bool:
        levels = np.rint(values * intervals) / intervals
        if are_bytes:
            # Bytes are levels that have been rounded to multiples of 1 / 255.
            levels = np.rint(255 * levels) / 255
        return bool((np.abs(levels - values) < 1e-6).all())

    return next((n for n in range(2, 257) if are_levels(n - 1)), None)
