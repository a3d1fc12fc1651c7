"""Autoguidance: the energy of two networks is their difference, made longer."""

import keras
import numpy as np
import pytest

from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.energy_network import energies_of
from tf_mdsm.networks.guided import guided_network

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def networks():
    """Two networks of the same structure, as a run and its guide."""
    network = build_network("dense", SHAPE, 3, seed=1)
    with keras.name_scope("guide"):
        return network, build_network("dense", SHAPE, 3, seed=2)


@pytest.mark.parametrize("weight", [1.0, 1.5, 3.0])
def test_the_energy_is_that_of_both_networks(networks, weight):
    guided = guided_network(*networks, weight)
    first, second = (np.asarray(energies_of(network, IMAGES, 1)) for network in networks)
    expected = weight * first - (weight - 1) * second
    # Rounding, magnified where the two nearly cancel.
    rounding = 2**-20 * (weight * np.abs(first) + weight * np.abs(second)).max()
    np.testing.assert_allclose(energies_of(guided, IMAGES, 1), expected, atol=rounding)


def test_weights_are_those_of_the_networks_and_have_different_names(networks):
    """An export names them by their paths."""
    guided = guided_network(*networks, 2.0)
    paths = [variable.path for variable in guided.variables]
    count = sum(len(network.variables) for network in networks)
    assert len(paths) == len(set(paths)) == count + 1
    assert sum(path.startswith("guide/") for path in paths) == len(networks[1].variables)
    kernel = networks[1].variables[0]
    assert any(variable is kernel for variable in guided.variables)


def test_the_weight_is_one_of_the_weights(networks):
    """What is kept of a network is named by a hash of its weights."""
    for weight in (1.5, 2.0):
        (found,) = (
            v
            for v in guided_network(*networks, weight).variables
            if v.path.endswith("guidance_weight")
        )
        assert (float(found), found.trainable) == (weight, False)


def test_saved_and_loaded_by_keras(networks, tmp_path):
    guided, path = guided_network(*networks, 1.5), str(tmp_path / "guided.keras")
    guided.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(IMAGES), guided(IMAGES))
