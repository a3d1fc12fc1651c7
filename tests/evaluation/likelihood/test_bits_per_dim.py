"""Bits per dimension of known densities; gray levels of known images."""

import numpy as np
import pytest

from tf_mdsm.datasets.readers import read_digits
from tf_mdsm.evaluation.likelihood.bits_per_dim import (
    bits_of_cells,
    bits_per_dim,
    count_gray_levels,
)


def test_uniform_densities():
    """The bits of a uniform density on [0, 1]^d are those of a cell; half as wide, one less."""
    assert bits_per_dim(0.0, 0.0, 10, cell_bits=8.0) == 8
    assert bits_per_dim(0.0, 10 * np.log(0.5), 10, cell_bits=8.0) == pytest.approx(7)


def test_the_temperature_divides_the_energy_only():
    bits = bits_per_dim(2.0, 1.0, 1, temperature=2.0, cell_bits=3.0)
    assert bits == pytest.approx(2 / np.log(2) + 3)


def test_the_density_at_the_mean_of_a_gaussian():
    """N(m, s^2 I): -log2 of 1 / sqrt(2 pi s^2)."""
    size, std = 5, 0.1
    log_z = size * np.log(2 * np.pi * std**2) / 2
    expected = np.log2(std * np.sqrt(2 * np.pi))
    assert bits_per_dim(0.0, log_z, size, cell_bits=0.0) == pytest.approx(expected)


def test_cells_are_as_wide_as_the_distance_of_gray_levels():
    """17 levels lie 1/16 apart, 256 levels 1/255, and two levels 1."""
    assert bits_of_cells(17) == 4
    assert bits_of_cells(256) == pytest.approx(np.log2(255))
    assert bits_of_cells(2) == bits_of_cells(None) == 0


@pytest.mark.parametrize("levels", [2, 3, 17, 64, 256])
def test_gray_levels_of_floats_and_of_bytes(levels):
    """Bytes are rounded levels; a second set counts too."""
    values = np.linspace(0, 1, levels)
    few, all_levels = np.array([0.0, 1.0]), np.random.default_rng(0).permutation(values)
    for convert in (np.float32, np.float64, lambda x: np.uint8(np.rint(255 * x))):
        sets = [convert(pixels).reshape(-1, 1, 1, 1) for pixels in (few, all_levels)]
        assert count_gray_levels(*sets) == levels
        assert count_gray_levels(sets[0]) == 2


def test_gray_levels_of_bytes_and_floats_together():
    """A level is the same one in both, though 1 / 255 in float32 is another number."""
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1)
    assert count_gray_levels(pixels, pixels.astype(np.float32) / 255) == 256


def test_gray_levels_of_digits():
    assert count_gray_levels(read_digits()) == 17


def test_computed_images_have_no_gray_levels():
    random = np.random.default_rng(0)
    assert count_gray_levels(np.float32(random.uniform(size=(3, 8, 8, 1)))) is None
    few = np.float32([0.1234567, 0.3183099, 0.7182818]).reshape(3, 1, 1, 1)
    assert count_gray_levels(few) is None
