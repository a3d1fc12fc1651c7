"""Bits per dimension of known densities."""

import numpy as np
import pytest

from tf_mdsm.evaluation.likelihood.bits_per_dim import bits_per_dim


def test_uniform_densities():
    """The uniform density on [0, 1]^d takes 8 bits, that on [0, 1/2]^d 7."""
    assert bits_per_dim(0.0, 0.0, 10) == 8
    assert bits_per_dim(0.0, 10 * np.log(0.5), 10) == pytest.approx(7)


def test_the_temperature_divides_the_energy_only():
    assert bits_per_dim(2.0, 1.0, 1, temperature=2.0) == pytest.approx(2 / np.log(2) + 8)


def test_the_density_at_the_mean_of_a_gaussian():
    """N(m, s^2 I): -log2 of 1 / sqrt(2 pi s^2), plus 8."""
    size, std = 5, 0.1
    log_z = size * np.log(2 * np.pi * std**2) / 2
    expected = np.log2(std * np.sqrt(2 * np.pi)) + 8
    assert bits_per_dim(0.0, log_z, size) == pytest.approx(expected)
