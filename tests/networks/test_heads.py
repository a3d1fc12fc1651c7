"""Heads: each energy against its equation."""

import keras
import numpy as np
import pytest

from tests.helpers.networks import noisy_images
from tf_mdsm.networks import heads
from tf_mdsm.networks.architectures import DENOISER_HEADS, FEATURE_HEADS, UNetStructure
from tf_mdsm.networks.build import build_network


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(4, 6))


def with_constant(head, features, constant):
    """The head with weights for these features, and its weights as float64 arrays by name."""
    head.build(features.shape)
    head.constant.assign([constant])
    return {variable.name: variable.numpy() for variable in head.weights}


def test_quadratic_head(features):
    """E = (w1 . h + b1)(w2 . h + b2) + w3 . (h * h) + b."""
    head = heads.QuadraticHead(range(5), dtype="float64")
    w = with_constant(head, features, 7.0)
    first = features @ w["kernel_1"] + w["bias_1"]
    second = features @ w["kernel_2"] + w["bias_2"]
    expected = first * second + features**2 @ w["kernel_square"] + 7
    np.testing.assert_allclose(head(features), expected[:, 0], rtol=1e-12)


def test_linear_head(features):
    """E = w . h + b."""
    head = heads.LinearHead([0], dtype="float64")
    w = with_constant(head, features, 7.0)
    expected = features @ w["kernel"] + 7
    np.testing.assert_allclose(head(features), expected[:, 0], rtol=1e-12)


def test_the_linear_head_sees_features_through_elu():
    """Features of any shape are flattened first."""
    symbolic = keras.Input((2, 1, 3))
    energies = heads.energy_of_features(symbolic, "linear", iter([0]), "float64")
    network = keras.Model(symbolic, energies)
    values = np.random.default_rng(0).normal(size=(4, 2, 1, 3)).astype(np.float32)
    flat = values.reshape(4, 6).astype(float)
    activated = np.where(flat > 0, flat, np.expm1(flat))
    kernel = network.get_layer("energy").kernel.numpy()
    np.testing.assert_allclose(network(values), (activated @ kernel)[:, 0], rtol=1e-6)


@pytest.mark.parametrize("head", FEATURE_HEADS)
def test_the_constant_is_not_trained(head):
    network = build_network("dense", (1, 1, 2), 2, head=head)
    assert [v.path for v in network.non_trainable_variables] == ["energy/constant"]
    np.testing.assert_array_equal(network.non_trainable_variables[0], [0])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("distance", lambda x, f: (x - f) ** 2),
        ("product", lambda x, f: x * (x - f)),
        ("two_guesses", lambda x, f: (x - f[..., :1]) * (x - f[..., 1:])),
    ],
)
def test_denoiser_heads_follow_their_equations(head, expected):
    """The energy from the network's own guess f(x), with a sigma0 that is not the default."""
    structure = UNetStructure(num_resolutions=1)
    network = build_network(
        "unet", (4, 4, 1), 2, head=head, seed=1, sigma0=0.2, structure=structure
    )
    guess = keras.Model(network.input, network.get_layer("energy").input[1])
    images = noisy_images(5, 4, 4, 1)
    values = expected(images.numpy().astype(float), guess(images).numpy().astype(float))
    energies = values.sum((1, 2, 3)) / (2 * 0.2**2)
    np.testing.assert_allclose(network(images), energies, rtol=1e-5)


@pytest.mark.parametrize("name", DENOISER_HEADS)
def test_sigma0_is_saved(name):
    head = heads.denoiser_head(name, 0.3, "float32")
    clone = type(head).from_config(head.get_config())
    assert (clone.sigma0, clone.name) == (0.3, "energy")


@pytest.mark.parametrize(
    "name", ["QuadraticHead", "LinearHead", "DistanceHead", "ProductHead", "TwoGuessesHead"]
)
def test_registered_names_stay(name):
    """Saved networks refer to the heads by these names, whatever module they are in."""
    assert keras.saving.get_registered_object(f"tf_mdsm>{name}") is getattr(heads, name)


@pytest.mark.parametrize("name", DENOISER_HEADS)
def test_the_energy_of_a_denoiser_head_is_the_sum_of_its_densities(name):
    head = heads.denoiser_head(name, 0.2, "float64")
    x, guesses = (np.random.default_rng(s).normal(size=(2, 4, 3, 2)) for s in (0, 1))
    guesses = np.concatenate([guesses] * head.num_guesses, -1)
    densities = head.densities(x, guesses)
    assert densities.shape == (2, 4, 3)
    np.testing.assert_allclose(np.sum(densities, (1, 2)), head([x, guesses]), rtol=1e-12)
