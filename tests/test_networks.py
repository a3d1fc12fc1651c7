"""Networks: sizes, initial weights, derivatives."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm import losses
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks import build as networks
from tf_mdsm.networks import convolutions, heads, noise_scaling, patches, unet
from tf_mdsm.networks import layers as activations
from tf_mdsm.networks.architectures import HEADS, NETWORKS, STAGES, UNetStructure, heads_of
from tf_mdsm.networks.build import build_network

# One structure beside the usual one for each of its parts, and one with all of them.
STRUCTURES = {
    "patches": UNetStructure(patch_size=2, num_resolutions=3),
    "one resolution": UNetStructure(num_resolutions=1, num_blocks=2),
    "attention": UNetStructure(num_resolutions=3, attention_size=4),
    "scaled input": UNetStructure(num_resolutions=2, scale_input=True),
    "all": UNetStructure(2, 2, 2, attention_size=4, scale_input=True),
}


def noisy_images(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-0.5, 1.5, shape), tf.float32)


@pytest.mark.parametrize(
    ("name", "shape", "channels", "count"),
    [
        ("res12", (32, 32, 1), 64, 9_060_483),
        ("res18", (32, 32, 3), 128, 62_339_075),
        ("unet", (32, 32, 1), 16, 393_665),
    ],
)
def test_parameter_counts(name, shape, channels, count):
    assert build_network(name, shape, channels).count_params() == count


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("shape", [(16, 16, 1), (64, 64, 3)])
def test_every_network_at_other_sizes(name, shape, head):
    network = build_network(name, shape, 2, head)
    energy, gradient = losses.energy_and_gradient(network, noisy_images(3, *shape))
    assert energy.shape == (3,)
    assert gradient.shape == (3, *shape)
    assert energy.dtype == tf.float32
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_eight_pixels_are_enough_for_three_halvings():
    assert build_network("res12", (8, 8, 1), 2)(noisy_images(2, 8, 8, 1)).shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("res50", (32, 32, 3), 4), "`name` must be one of res6"),
        (("res12", (30, 30, 1), 4), "`image_size` must be divisible by 8"),
        (("res34", (8, 8, 1), 4), "`image_size` must be divisible by 16"),
        (("res12", (32, 32, 1), 4, "cubic"), "`head` must be one of quadratic"),
        (("res12", (32, 32, 1), 4, "distance"), "`head` must be one of quadratic"),
        (("unet", (32, 32, 1), 4, "linear"), "`head` must be one of distance"),
        (("unet", (28, 36, 1), 4), "`image_size` must be divisible by 8"),
    ],
)
def test_wrong_networks_are_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        build_network(*arguments)


def test_patches_and_resolutions_halve_a_unets_images():
    structure = UNetStructure(patch_size=3, num_resolutions=3)
    assert structure.widths == (1, 2, 4)
    assert build_network("unet", (24, 12, 2), 2, structure=structure)(
        noisy_images(2, 24, 12, 2)
    ).shape == (2,)
    with pytest.raises(InvalidArgument, match="`image_size` must be divisible by 12"):
        build_network("unet", (16, 16, 1), 2, structure=structure)


def test_initial_weights_are_pytorchs_default():
    """Uniform in +-1/sqrt(fan_in), every array drawn by itself, all following from the seed."""
    network = build_network("res12", (32, 32, 1), 16, seed=3)
    draws = {}
    for variable in network.trainable_variables:
        layer = network.get_layer(variable.path.split("/")[0])
        fan_in = np.prod(getattr(layer, "kernel", getattr(layer, "kernel_1", None)).shape[:-1])
        values = variable.numpy().ravel() * np.sqrt(fan_in)
        assert np.abs(values).max() <= 1, variable.path
        if len(values) > 1_000:
            assert values.std() == pytest.approx(1 / np.sqrt(3), rel=0.1), variable.path
        draws[variable.path] = values
    first = np.array([values[0] for values in draws.values()])
    assert len(np.unique(first)) == len(first)
    again = build_network("res12", (32, 32, 1), 16, seed=3)
    other = build_network("res12", (32, 32, 1), 16, seed=4)
    for ours, same, different in zip(
        network.trainable_variables,
        again.trainable_variables,
        other.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(ours, same)
        assert not np.array_equal(ours, different)


def test_the_constant_is_not_trained():
    for head in HEADS:
        network = build_network("res6", (8, 8, 1), 2, head)
        assert [v.path for v in network.non_trainable_variables] == ["energy/constant"]


@pytest.mark.parametrize(
    ("name", "head", "structure"),
    [(n, h, None) for n in NETWORKS for h in heads_of(n)]
    + [("unet", "distance", name) for name in STRUCTURES],
)
def test_gradients_by_finite_differences(name, head, structure):
    """dE/dx, and the loss' derivative in every weight (which needs second derivatives)."""
    shape = (1, 1, 2) if name == "dense" else (16, 16, 1)
    network = build_network(
        *(name, shape, 2, head),
        seed=1,
        precision="float64",
        structure=structure and STRUCTURES[structure],
    )
    generator = np.random.default_rng(0)
    clean, noisy, direction = (tf.constant(generator.normal(size=(4, *shape))) for _ in range(3))
    ones = tf.ones(4, tf.float64)
    step = 1e-6

    _, gradient = losses.energy_and_gradient(network, noisy)
    slope = (network(noisy + step * direction) - network(noisy - step * direction)) / (2 * step)
    expected = tf.reduce_sum(gradient * direction, (1, 2, 3))
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-9)

    @tf.function(autograph=False)
    def loss():
        return tf.reduce_sum(
            losses.mdsm_losses(network, clean, noisy, kernel_variance=ones, weight=ones)
        )

    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
    for variable, gradient in zip(variables, gradients, strict=True):
        origin = variable.numpy()
        move = generator.normal(size=origin.shape)
        values = []
        for sign in (1, -1):
            variable.assign(origin + sign * step * move)
            values.append(float(loss()))
        variable.assign(origin)
        slope = (values[0] - values[1]) / (2 * step)
        expected = float(tf.reduce_sum(gradient * move))
        # Cancellation leaves eps * loss / step, some 1e-8, and the kinks of ELU' some 1e-7.
        assert slope == pytest.approx(expected, rel=1e-3, abs=1e-6), variable.path


def test_mixed_precision_keeps_head_and_weights_in_float32():
    shape = (16, 16, 1)
    full = build_network("res12", shape, 8, seed=2)
    mixed = build_network("res12", shape, 8, seed=2, precision="mixed_bfloat16")
    images = noisy_images(8, *shape)
    energy, gradient = losses.energy_and_gradient(full, images)
    mixed_energy, mixed_gradient = losses.energy_and_gradient(mixed, images)
    assert all(v.dtype == "float32" for v in mixed.variables)
    assert mixed_energy.dtype == mixed_gradient.dtype == tf.float32
    assert mixed.get_layer("stage1_block0_conv1").compute_dtype == "bfloat16"
    # bfloat16 keeps 8 bits: each of some ten layers rounds by up to 2^-9.
    difference = np.linalg.norm(mixed_gradient - gradient) / np.linalg.norm(gradient)
    assert 0 < difference < 10 * 2**-8
    np.testing.assert_allclose(mixed_energy, energy, rtol=0.1, atol=0.02)


def test_networks_are_pure_keras():
    modules = (activations, convolutions, heads, networks, noise_scaling, patches, unet)
    for module in modules:
        source = pathlib.Path(module.__file__).read_text()
        assert "tensorflow" not in source.replace("no TensorFlow inside", "").lower()


def test_weights_file_opens_again(tmp_path):
    network = build_network("res6", (8, 8, 1), 2, seed=1)
    network.save_weights(tmp_path / "energy.weights.h5")
    other = build_network("res6", (8, 8, 1), 2, seed=9)
    other.load_weights(tmp_path / "energy.weights.h5")
    images = noisy_images(2, 8, 8, 1)
    np.testing.assert_array_equal(network(images), other(images))
    clone = keras.Model.from_config(network.get_config())
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(network(images), clone(images))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("distance", lambda x, f: (x - f) ** 2),
        ("product", lambda x, f: x * (x - f)),
        ("two_guesses", lambda x, f: (x - f[..., :1]) * (x - f[..., 1:])),
    ],
)
def test_energies_made_of_a_denoiser(head, expected):
    """By their equations, from the same network's own guess; other sigma0, other scale."""
    network = build_network("unet", (8, 8, 1), 2, head, seed=1, sigma0=0.2)
    guess = keras.Model(network.input, network.get_layer("energy").input[1])
    images = noisy_images(5, 8, 8, 1)
    values = expected(images.numpy().astype(float), guess(images).numpy().astype(float))
    energies = values.sum((1, 2, 3)) / (2 * 0.2**2)
    np.testing.assert_allclose(network(images), energies, rtol=1e-5)


@pytest.mark.parametrize(
    ("head", "structure"),
    [(head, UNetStructure()) for head in heads_of("unet")] + [("distance", STRUCTURES["all"])],
)
def test_a_unet_opens_again(head, structure, tmp_path):
    network = build_network("unet", (8, 8, 3), 2, head, seed=1, structure=structure)
    images = noisy_images(2, 8, 8, 3)
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(network(images), clone(images))
    network.save(tmp_path / "energy.keras")
    np.testing.assert_array_equal(
        network(images), keras.models.load_model(tmp_path / "energy.keras")(images)
    )


def run_layers(function, images, *arguments):
    """What functions of symbolic images make of these."""
    symbolic = keras.Input(images.shape[1:])
    return keras.Model(symbolic, function(symbolic, *arguments))(images).numpy()


@pytest.mark.parametrize(("size", "use_bias"), [(3, True), (1, True), (5, False)])
def test_a_convolution_with_its_means(size, use_bias):
    """As the two one after the other, at the borders too; it opens again."""
    fused = convolutions.MeanPooledConv2D(3, size, padding="same", use_bias=use_bias)
    plain = keras.layers.Conv2D(3, size, padding="same", use_bias=use_bias)
    images = noisy_images(2, 6, 4, 5)
    found = fused(images)
    plain.build(images.shape)
    plain.set_weights(fused.get_weights())
    expected = keras.layers.AveragePooling2D(2)(plain(images))
    # Sums of at most 125 products of numbers about 1, in another order.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert fused.compute_output_shape(images.shape) == found.shape
    again = convolutions.MeanPooledConv2D.from_config(fused.get_config())
    again.build(images.shape)
    again.set_weights(fused.get_weights())
    np.testing.assert_array_equal(again(images), found)


@pytest.mark.parametrize(("size", "use_bias"), [(3, True), (1, True), (5, False)])
def test_a_convolution_of_a_repeated_image_and_another(size, use_bias):
    """As if the first were repeated and the two joined, at the borders too; it opens again."""
    small, large = noisy_images(2, 3, 2, 4), noisy_images(2, 6, 4, 3, seed=1)
    joined = convolutions.JoinedConv2D(5, size, padding="same", use_bias=use_bias)
    found = joined([small, large])
    plain = keras.layers.Conv2D(5, size, padding="same", use_bias=use_bias)
    repeated = np.repeat(np.repeat(small, 2, 1), 2, 2)
    together = np.concatenate([repeated, large], -1)
    plain.build(together.shape)
    plain.set_weights(joined.get_weights())
    np.testing.assert_allclose(found, plain(together), atol=1e-5)
    assert joined.compute_output_shape([small.shape, large.shape]) == found.shape
    again = convolutions.JoinedConv2D.from_config(joined.get_config())
    again.build([small.shape, large.shape])
    again.set_weights(joined.get_weights())
    np.testing.assert_array_equal(again([small, large]), found)


def test_patches_hold_the_pixels_of_their_squares_and_go_back():
    images = noisy_images(2, 6, 4, 3)
    cut = run_layers(patches.to_patches, images, 2, "float32", "patches")
    assert cut.shape == (2, 3, 2, 12)
    np.testing.assert_array_equal(cut[1, 2, 0], np.ravel(images[1, 4:6, 0:2]))
    back = run_layers(patches.from_patches, tf.constant(cut), 2, "float32", "back")
    np.testing.assert_array_equal(back, images)


def test_attention_is_a_mean_of_values_weighed_by_likeness():
    network = build_network(
        "unet", (4, 4, 1), 6, structure=UNetStructure(num_resolutions=1, attention_size=4)
    )
    name = "down0_block0_attention"

    def layer(part, values):
        kernel, bias = (
            w.numpy().astype(float) for w in network.get_layer(f"{name}_{part}").weights
        )
        return values @ kernel[0, 0] + bias

    inside = [network.get_layer(layer_name).output for layer_name in ("down0_block0", name)]
    before, after = keras.Model(network.input, inside)(noisy_images(3, 4, 4, 1))
    flat = before.numpy().reshape(3, 16, 6).astype(float)
    likeness = layer("query", flat) @ layer("key", flat).swapaxes(1, 2) / np.sqrt(6)
    weights = np.exp(likeness) / np.exp(likeness).sum(-1, keepdims=True)
    expected = flat + layer("output", weights @ layer("value", flat))
    np.testing.assert_allclose(after.numpy().reshape(3, 16, 6), expected, rtol=1e-5, atol=1e-6)


def test_noise_is_estimated_in_the_image():
    """That of white noise within its own scatter, 0 for ramps; what is divided by follows."""
    images = np.zeros((4, 64, 64, 3), np.float32)
    images += np.linspace(0, 1, 64)[:, None, None]
    images[2:] += np.linspace(0, 1, 64)[None, :, None]
    np.testing.assert_allclose(noise_scaling.noise_variance(images), 0, atol=1e-12)
    sigma = np.array([0.1, 0.5, 1.0, 3.0])
    noisy = images + sigma[:, None, None, None] * np.random.default_rng(0).normal(size=images.shape)
    variance = np.asarray(noise_scaling.noise_variance(noisy))
    # Over n = 32 * 32 * 3 coefficients the variance scatters by sqrt(2 / n) = 2.6 %.
    np.testing.assert_allclose(variance, sigma**2, rtol=5 * np.sqrt(2 / 3072))
    scaled = noise_scaling.NoiseScaling(dtype="float64")(noisy)
    expected = (noisy - 0.5) / np.sqrt(variance + 0.25)[:, None, None, None]
    np.testing.assert_allclose(scaled, expected, rtol=1e-12)


def test_noise_is_estimated_in_images_of_odd_sides():
    noise = np.random.default_rng(0).normal(size=(1, 63, 65, 1))
    even = noise_scaling.noise_variance(noise[:, :62, :64])
    np.testing.assert_allclose(noise_scaling.noise_variance(noise), even)
