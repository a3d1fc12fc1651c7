"""Bits per dimension of images, from their energy and log Z."""

import math

__all__ = ["bits_per_dim"]


def bits_per_dim(energy: float, log_z: float, size: int, temperature: float = 1.0) -> float:
    """Bits per dimension of images in [0, 1]^d: (E / T + log Z) / (d log 2) + 8.

    This is -log2 of the density p(x) = exp(-E(x) / T) / Z at the images themselves, divided by
    d, plus 8 for cells of side 1/256: the density is assumed to be constant on a cell. No noise
    is added to the images (no dequantization). So the number is that of the paper, comparable
    with others that are computed in the same way. It is not a code length: a density that is
    concentrated at the 256 levels can make it arbitrarily low.

    Args:
        energy: energy E(x), or the mean energy of some images.
        log_z: log Z of exp(-E / T).
        size: number of values of an image, d.
        temperature: T.
    """
    return (energy / temperature + log_z) / (size * math.log(2)) + 8
