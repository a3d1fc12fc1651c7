"""Networks of a user's own: their images, energies and copies."""

import keras
import numpy as np
import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.energy_network import (
    copy_network,
    energies_of,
    guess_network,
    image_shape_of,
    in_parts,
    layers_computing_in,
    require_energy_network,
    require_sides,
    smallest_side,
)
from tf_mdsm.networks.guided import guided_network

SHAPE = (6, 4, 2)
SHAPE_OF_UNET, SMALL = (8, 8, 1), UNetStructure(num_resolutions=2, num_blocks=1)


@keras.saving.register_keras_serializable("test_energy_network")
class Subclassed(keras.Model):
    """Images to outputs [B, width]; with width 0 to energies [B]."""

    def __init__(self, width=0, **options):
        super().__init__(**options)
        self.width = width
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(max(width, 1))

    def call(self, x):
        y = self.dense(self.flatten(x))
        return y if self.width else y[:, 0]

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def subclassed(width=0):
    network = Subclassed(width)
    network(np.zeros((1, *SHAPE)))
    return network


def sequential(*layers, shape=SHAPE):
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), *layers])


NETWORKS = {
    "built": lambda: build_network("dense", SHAPE, 3),
    "Sequential": lambda: sequential(keras.layers.Dense(1)),
    "subclassed [B]": subclassed,
    "subclassed [B, 1]": lambda: subclassed(1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_energy_networks_and_their_copies(name):
    network = NETWORKS[name]()
    assert image_shape_of(network) == SHAPE
    require_energy_network(network)
    for weight in network.weights:
        weight.assign(weight + 0.1)
    copy, x = copy_network(network), np.random.default_rng(0).uniform(size=(3, *SHAPE))
    np.testing.assert_array_equal(copy(x), network(x))
    copy.weights[0].assign(0 * copy.weights[0])
    assert not np.array_equal(copy(x), network(x))


def test_free_sizes():
    layers = [keras.layers.Conv2D(1, 3), keras.layers.GlobalAveragePooling2D()]
    network = keras.Sequential([keras.Input((None, None, 2)), *layers])
    require_energy_network(network)
    assert image_shape_of(network) == (None, None, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Subclassed(), r"know the shape of its images .*keras\.Input.*not built"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), r"keras\.Input.*not built"),
        (
            lambda: sequential(keras.layers.Dense(1), shape=(5,)),
            r"images \[B, H, W, C\].*\(None, 5\)",
        ),
    ],
)
def test_networks_without_images_are_refused(make, message):
    with pytest.raises(InvalidArgument, match=f"`network` must .*{message}"):
        image_shape_of(make())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sequential(keras.layers.Dense(2)), r"energies \[B\] or \[B, 1\].*\(None, 2\)"),
        (lambda: subclassed(3), r"energies \[B\] or \[B, 1\].*\(None, 3\)"),
        (
            lambda: sequential(keras.layers.Dense(1, dtype="mixed_float16", name="thin")),
            "compute in float32 or mixed_bfloat16 .*float16 in thin",
        ),
        (
            lambda: sequential(keras.layers.Dense(1, bias_regularizer="l2")),
            "have no loss of its own .*AdamW.*1 losses",
        ),
    ],
)
def test_networks_that_are_no_energies_are_refused(make, message):
    with pytest.raises(InvalidArgument, match=f"`network` must .*{message}"):
        require_energy_network(make())


def test_float16_within_a_model_within_the_network_is_found():
    inner = sequential(keras.layers.Dense(4, dtype="float16"))
    network = keras.Sequential([keras.Input(SHAPE), inner, keras.layers.Dense(1)])
    with pytest.raises(InvalidArgument, match="float16"):
        require_energy_network(network)


def test_a_network_without_configuration_is_not_copied():
    class Secret(Subclassed):
        def get_config(self):
            raise NotImplementedError

    network = Secret()
    network(np.zeros((1, *SHAPE)))
    require_energy_network(network)
    with pytest.raises(InvalidArgument, match=r"`network` must have get_config.*ema_momentum be 0"):
        copy_network(network)


def test_layers_are_found_by_the_dtype_in_which_they_compute():
    network = build_network("res6", (8, 8, 1), channels=4, precision="mixed_bfloat16")
    rounded, exact = (layers_computing_in(network, dtype) for dtype in ("bfloat16", "float32"))
    assert len(rounded) > 6
    assert exact[-1] == "energy"
    assert not layers_computing_in(build_network("res6", (8, 8, 1), channels=4), "bfloat16")


@pytest.mark.parametrize("head", ["distance", "product"])
def test_the_guess_of_a_denoiser_network(head):
    """The energy is the head's function of the images and the guess; weights are shared."""
    network = build_network("unet", SHAPE_OF_UNET, 4, head=head, sigma0=0.5, structure=SMALL)
    guess: keras.Model = guess_network(network)
    assert guess.trainable_variables == network.trainable_variables
    x = np.random.default_rng(0).normal(size=(3, *SHAPE_OF_UNET)).astype(np.float32)
    f = np.asarray(guess(x))
    other = x - f if head == "distance" else x
    expected = (other * (x - f)).sum((1, 2, 3)) / (2 * 0.5**2)
    np.testing.assert_allclose(energies_of(network, x, 1), expected, rtol=1e-5)


def test_networks_without_one_guess():
    two = build_network("unet", SHAPE_OF_UNET, 4, head="two_guesses", structure=SMALL)
    assert [guess_network(n) for n in (two, build_network("dense", SHAPE, 3))] == [None, None]
    assert guess_network(subclassed()) is None


def free_unet(structure):
    return build_network("unet", (None, None, 1), 2, structure=structure)


def test_the_smallest_images_that_a_network_takes():
    assert smallest_side(subclassed()) == 1
    assert smallest_side(free_unet(UNetStructure(num_resolutions=3))) == 3
    assert smallest_side(free_unet(UNetStructure(num_resolutions=1))) == 1
    scaled = UNetStructure(num_resolutions=1, scale_input=True)
    assert smallest_side(free_unet(scaled)) == 2
    halved = free_unet(UNetStructure(patch_size=2, num_resolutions=3))
    assert smallest_side(guided_network(free_unet(scaled), halved, 2.0)) == 5


def test_too_small_images_are_refused():
    require_sides((3, None), 3)
    with pytest.raises(InvalidArgument, match=r"at least 3 pixels high and wide .* 9 x 2"):
        require_sides((9, 2), 3)


def test_one_image_is_not_divided():
    """Each part would hold it."""
    calls = []
    images = np.zeros((1, 2, 2, 1), np.float32)
    in_parts(lambda part: calls.append(part.shape) or part, images, num_parts=2)
    assert calls == [(1, 2, 2, 1)]
