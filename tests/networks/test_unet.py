"""The U-Net: its layers against plain ones, attention, derivatives, saving and loading."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tests.helpers import golden
from tests.helpers.networks import EVERY_PART, assert_derivatives, noisy_images
from tf_mdsm.losses import energy_and_gradient
from tf_mdsm.networks.architectures import DENOISER_HEADS, UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.convolutions import integer_seeds
from tf_mdsm.networks.energy_network import copy_network
from tf_mdsm.networks.layers import NoiseScaling
from tf_mdsm.networks.unet import unet


def plain_unet(network, x, structure):
    """The guess by plain convolutions, means of 2x2 pixels, repeated pixels, and SiLU."""

    def convolve(x, name):
        layer = network.get_layer(name)
        return ops.conv(x, layer.kernel, padding="same") + layer.bias

    def blocks(x, name, count=structure.num_blocks):
        for block in (f"{name}_block{number}" for number in range(count)):
            y = convolve(ops.silu(x), f"{block}_conv1")
            y = convolve(ops.silu(y), f"{block}_conv2")
            shortcut = f"{block}_shortcut"
            has_shortcut = any(layer.name == shortcut for layer in network.layers)
            x = y + (convolve(x, shortcut) if has_shortcut else x)
        return x

    x, kept, last = convolve(x, "stem"), [], structure.num_resolutions - 1
    for level in range(last):
        kept.append(blocks(x, f"down{level}"))
        x = ops.average_pool(kept[-1], 2)
    x = blocks(blocks(x, f"down{last}"), "middle", count=1)
    for level in reversed(range(last)):
        x = ops.repeat(ops.repeat(x, 2, 1), 2, 2)
        x = blocks(ops.concatenate([x, kept[level]], -1), f"up{level}")
    return convolve(ops.silu(x), "last_conv")


def test_guesses_are_those_of_plain_layers():
    structure, shape = UNetStructure(num_resolutions=3, num_blocks=2), (8, 4, 3)
    images = keras.Input(shape, dtype="float64")
    guesses = unet(
        images, structure, channels=2, seeds=integer_seeds(0), dtype="float64", num_guesses=2
    )
    network = keras.Model(images, guesses)
    x = tf.cast(noisy_images(2, *shape), tf.float64)
    computed = network(x)
    assert computed.shape == (2, 8, 4, 6)
    np.testing.assert_allclose(computed, plain_unet(network, x, structure), rtol=1e-9, atol=1e-12)


def test_number_of_parameters():
    assert build_network("unet", (32, 32, 1), 16).count_params() == 393_665


def test_attention_follows_each_block_of_small_images():
    """In patches the images have sides of 4, 2 and 1; attention is at sides of at most 2."""
    structure = UNetStructure(patch_size=2, num_resolutions=3, num_blocks=2, attention_size=2)
    network = build_network("unet", (8, 8, 1), 2, structure=structure)
    names = [layer.name for layer in network.layers if layer.name.endswith("_attention")]
    blocks = ["down1_block0", "down1_block1", "down2_block0", "down2_block1", "middle_block0"]
    blocks += ["up1_block0", "up1_block1"]
    assert names == [f"{block}_attention" for block in blocks]


def test_attention_is_a_softmax_weighted_mean_of_values():
    network = build_network(
        "unet", (4, 4, 1), 6, structure=UNetStructure(num_resolutions=1, attention_size=4)
    )
    name = "down0_block0_attention"

    def apply_layer(part, values):
        kernel, bias = (
            w.numpy().astype(float) for w in network.get_layer(f"{name}_{part}").weights
        )
        return values @ kernel[0, 0] + bias

    outputs = [network.get_layer(layer_name).output for layer_name in ("down0_block0", name)]
    before, after = keras.Model(network.input, outputs)(noisy_images(3, 4, 4, 1))
    flat = before.numpy().reshape(3, 16, 6).astype(float)
    similarity = apply_layer("query", flat) @ apply_layer("key", flat).swapaxes(1, 2) / np.sqrt(6)
    weights = np.exp(similarity) / np.exp(similarity).sum(-1, keepdims=True)
    expected = flat + apply_layer("output", weights @ apply_layer("value", flat))
    np.testing.assert_allclose(after.numpy().reshape(3, 16, 6), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "structure"),
    [(head, UNetStructure(num_resolutions=2)) for head in DENOISER_HEADS]
    + [("distance", EVERY_PART)],
)
def test_derivatives_by_finite_differences(head, structure):
    network = build_network(
        "unet", (8, 8, 2), 2, head=head, seed=1, precision="float64", structure=structure
    )
    assert_derivatives(network)


def test_a_saved_network_loads_again(tmp_path):
    """With every part of the U-Net, and a sigma0 that is not the default."""
    network = build_network(
        "unet", (8, 8, 3), 2, head="two_guesses", seed=1, sigma0=0.2, structure=EVERY_PART
    )
    images = noisy_images(2, 8, 8, 3)
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(network(images), clone(images))
    network.save(tmp_path / "energy.keras")
    loaded = keras.models.load_model(tmp_path / "energy.keras")
    np.testing.assert_array_equal(network(images), loaded(images))


def test_a_network_saved_by_an_earlier_version_loads():
    """The file names modules that no longer exist (golden/README.md)."""
    network = keras.models.load_model(golden.FOLDER / "old_network.keras")
    with np.load(golden.FOLDER / "old_network_energies.npz") as arrays:
        images, energies = arrays["images"], arrays["energies"]
    # float32: other processors add the sums of the convolutions in another order.
    np.testing.assert_allclose(network(images), energies, rtol=1e-5)
    structure = UNetStructure(patch_size=2, num_resolutions=2, attention_size=4, scale_input=True)
    today = build_network("unet", (8, 8, 1), 4, seed=3, structure=structure)
    assert [layer.name for layer in network.layers] == [layer.name for layer in today.layers]
    for old, new in zip(network.variables, today.variables, strict=True):
        assert old.path == new.path
        np.testing.assert_array_equal(old, new, err_msg=new.path)


# Images of any size. Patches, two resolutions, scaling; what must divide the sides is 4.
FREE = UNetStructure(patch_size=2, num_resolutions=2, scale_input=True)


def fixed_and_free(shape, head="distance", **options):
    """Two networks of the same weights, for images of one size and of any."""
    return [
        build_network("unet", one, 4, head=head, structure=FREE, **options)
        for one in (shape, (None, None, shape[2]))
    ]


@pytest.mark.parametrize("head", DENOISER_HEADS)
def test_a_network_of_any_size_is_that_of_one_size(head):
    """Bit for bit, energies and gradients, where nothing must be padded."""
    fixed, free = fixed_and_free((8, 12, 3), head)
    for mine, other in zip(fixed.weights, free.weights, strict=True):
        assert mine.path == other.path
        np.testing.assert_array_equal(mine, other)
    images = noisy_images(2, 8, 12, 3)
    for own, same in zip(*(energy_and_gradient(n, images) for n in (fixed, free)), strict=True):
        np.testing.assert_array_equal(own, same)


@pytest.mark.parametrize(("height", "width"), [(5, 3), (8, 9), (11, 4)])
def test_images_of_odd_sizes_are_mirrored_and_cropped(height, width):
    """E = |x - f|^2 / (2 sigma0^2), f the guess of the fixed network for the padded image."""
    padded_shape = (height + -height % 4, width + -width % 4, 1)
    fixed, free = fixed_and_free(padded_shape, precision="float64", sigma0=0.2)
    x = noisy_images(2, height, width, 1).numpy().astype(float)
    missing = ((0, 0), (0, -height % 4), (0, -width % 4), (0, 0))
    # The noise is estimated in the image alone.
    scaled = NoiseScaling(dtype="float64")(x)
    start = fixed.get_layer("patches_cut").input
    guess = keras.Model(start, fixed.get_layer("denoised").output)
    f = guess(np.pad(scaled, missing, mode="reflect"))[:, :height, :width]
    np.testing.assert_allclose(free(x), np.sum((x - f) ** 2, (1, 2, 3)) / 0.08, rtol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (12, 9)])
def test_the_gradient_at_odd_sizes_is_the_slope_of_the_energy(height, width):
    """By finite differences along a random direction, in a graph that does not know the size."""
    _, free = fixed_and_free((8, 8, 2), "two_guesses", precision="float64")
    spec = tf.TensorSpec([None, None, None, 2], tf.float64)
    evaluate = tf.function(
        lambda x: energy_and_gradient(free, x), input_signature=[spec], autograph=False
    )
    generator = np.random.default_rng(0)
    x, direction = (tf.constant(generator.normal(size=(2, height, width, 2))) for _ in range(2))
    energies = [evaluate(x + step * direction)[0] for step in (1e-6, -1e-6)]
    slope = (energies[0] - energies[1]) / 2e-6
    gradient = evaluate(x)[1]
    np.testing.assert_allclose(slope, tf.reduce_sum(gradient * direction, (1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(gradient, energy_and_gradient(free, x)[1], rtol=1e-9)


def test_a_network_of_any_size_is_saved_and_copied(tmp_path):
    _, free = fixed_and_free((8, 8, 1))
    images = noisy_images(2, 7, 9, 1)
    free.save(tmp_path / "network.keras")
    for other in (keras.models.load_model(tmp_path / "network.keras"), copy_network(free)):
        assert other.input_shape == (None, None, None, 1)
        np.testing.assert_array_equal(other(images), free(images))
