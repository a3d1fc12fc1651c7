"""Networks: sizes, initial weights, derivatives, layers, saving and loading."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm import losses
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks import convolutions, heads, layers
from tf_mdsm.networks.architectures import (
    FEATURE_HEADS,
    NETWORKS,
    RESNET_STAGES,
    UNetStructure,
    heads_of,
)
from tf_mdsm.networks.build import build_network

GOLDEN = pathlib.Path(__file__).parent / "golden"

# Next to the default structure: one for each optional part of a U-Net, and one with all of them.
STRUCTURES = {
    "patches": UNetStructure(patch_size=2, num_resolutions=3),
    "one resolution": UNetStructure(num_resolutions=1, num_blocks=2),
    "attention": UNetStructure(num_resolutions=3, attention_size=4),
    "scaled input": UNetStructure(num_resolutions=2, scale_input=True),
    "all": UNetStructure(
        patch_size=2, num_resolutions=2, num_blocks=2, attention_size=4, scale_input=True
    ),
}


def noisy_images(*shape, seed=0):
    """Random images [B, H, W, C] that exceed [0, 1] on both sides."""
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


@pytest.mark.parametrize("head", FEATURE_HEADS)
@pytest.mark.parametrize("name", RESNET_STAGES)
@pytest.mark.parametrize("shape", [(16, 16, 1), (64, 64, 3)])
def test_every_resnet_at_two_image_sizes(name, shape, head):
    network = build_network(name, shape, 2, head=head)
    energy, gradient = losses.energy_and_gradient(network, noisy_images(3, *shape))
    assert energy.shape == (3,)
    assert gradient.shape == (3, *shape)
    assert energy.dtype == tf.float32
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_res12_accepts_images_of_eight_pixels():
    assert build_network("res12", (8, 8, 1), 2)(noisy_images(2, 8, 8, 1)).shape == (2,)


@pytest.mark.parametrize(
    ("name", "shape", "head", "message"),
    [
        ("res50", (32, 32, 3), None, "`name` must be one of res6"),
        ("res12", (30, 30, 1), None, "`image_size` must be divisible by 8"),
        ("res34", (8, 8, 1), None, "`image_size` must be divisible by 16"),
        ("res12", (32, 32, 1), "cubic", "`head` must be one of quadratic"),
        ("res12", (32, 32, 1), "distance", "`head` must be one of quadratic"),
        ("unet", (32, 32, 1), "linear", "`head` must be one of distance"),
        ("unet", (28, 36, 1), None, "`image_size` must be divisible by 8"),
    ],
)
def test_invalid_arguments_are_refused(name, shape, head, message):
    with pytest.raises(InvalidArgument, match=message):
        build_network(name, shape, 4, head=head)


def test_the_unets_downsampling_factor_must_divide_the_images():
    structure = UNetStructure(patch_size=3, num_resolutions=3)
    assert structure.channel_multipliers == (1, 2, 4)
    assert build_network("unet", (24, 12, 2), 2, structure=structure)(
        noisy_images(2, 24, 12, 2)
    ).shape == (2,)
    with pytest.raises(InvalidArgument, match="`image_size` must be divisible by 12"):
        build_network("unet", (16, 16, 1), 2, structure=structure)


def test_initial_weights_are_pytorchs_default():
    """Uniform in +-1/sqrt(fan_in); different for each array; determined by the seed."""
    network = build_network("res12", (32, 32, 1), 16, seed=3)
    scaled = {}
    for variable in network.trainable_variables:
        layer = network.get_layer(variable.path.split("/")[0])
        fan_in = np.prod(getattr(layer, "kernel", getattr(layer, "kernel_1", None)).shape[:-1])
        values = variable.numpy().ravel() * np.sqrt(fan_in)
        assert np.abs(values).max() <= 1, variable.path
        if len(values) > 1_000:
            assert values.std() == pytest.approx(1 / np.sqrt(3), rel=0.1), variable.path
        scaled[variable.path] = values
    first = np.array([values[0] for values in scaled.values()])
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
    for head in FEATURE_HEADS:
        network = build_network("res6", (8, 8, 1), 2, head=head)
        assert [v.path for v in network.non_trainable_variables] == ["energy/constant"]


@pytest.mark.parametrize(
    ("name", "head", "structure"),
    [(n, h, None) for n in NETWORKS for h in heads_of(n)]
    + [("unet", "distance", name) for name in STRUCTURES],
)
def test_gradients_by_finite_differences(name, head, structure):
    """dE/dx, and the derivative of the loss in every weight, which needs second derivatives."""
    shape = (1, 1, 2) if name == "dense" else (16, 16, 1)
    network = build_network(
        name,
        shape,
        2,
        head=head,
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
        weight_direction = generator.normal(size=origin.shape)
        values = []
        for sign in (1, -1):
            variable.assign(origin + sign * step * weight_direction)
            values.append(float(loss()))
        variable.assign(origin)
        slope = (values[0] - values[1]) / (2 * step)
        expected = float(tf.reduce_sum(gradient * weight_direction))
        # Cancellation causes errors of eps * loss / step, about 1e-8. The kinks of ELU's
        # derivative cause errors of about 1e-7.
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
    # bfloat16 has 8 bits: each of about ten layers rounds by up to 2^-9.
    difference = np.linalg.norm(mixed_gradient - gradient) / np.linalg.norm(gradient)
    assert 0 < difference < 10 * 2**-8
    np.testing.assert_allclose(mixed_energy, energy, rtol=0.1, atol=0.02)


def test_the_networks_do_not_mention_tensorflow():
    for path in pathlib.Path(layers.__file__).parent.glob("*.py"):
        assert "tensorflow" not in path.read_text().lower(), path.name


def test_saved_weights_load_again(tmp_path):
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
def test_denoiser_heads_follow_their_equations(head, expected):
    """The energy from the network's own guess f(x), with a sigma0 that is not the default."""
    network = build_network("unet", (8, 8, 1), 2, head=head, seed=1, sigma0=0.2)
    guess = keras.Model(network.input, network.get_layer("energy").input[1])
    images = noisy_images(5, 8, 8, 1)
    values = expected(images.numpy().astype(float), guess(images).numpy().astype(float))
    energies = values.sum((1, 2, 3)) / (2 * 0.2**2)
    np.testing.assert_allclose(network(images), energies, rtol=1e-5)


@pytest.mark.parametrize(
    ("head", "structure"),
    [(head, UNetStructure()) for head in heads_of("unet")] + [("distance", STRUCTURES["all"])],
)
def test_a_saved_unet_loads_again(head, structure, tmp_path):
    network = build_network("unet", (8, 8, 3), 2, head=head, seed=1, structure=structure)
    images = noisy_images(2, 8, 8, 3)
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(network(images), clone(images))
    network.save(tmp_path / "energy.keras")
    np.testing.assert_array_equal(
        network(images), keras.models.load_model(tmp_path / "energy.keras")(images)
    )


def test_a_network_saved_by_an_earlier_version_loads():
    """The file names modules that no longer exist (golden/README.md)."""
    network = keras.models.load_model(GOLDEN / "old_network.keras")
    with np.load(GOLDEN / "old_network_energies.npz") as arrays:
        images, energies = arrays["images"], arrays["energies"]
    # float32: other processors add the sums of the convolutions in another order.
    np.testing.assert_allclose(network(images), energies, rtol=1e-5)
    structure = UNetStructure(patch_size=2, num_resolutions=2, attention_size=4, scale_input=True)
    today = build_network("unet", (8, 8, 1), 4, seed=3, structure=structure)
    assert [layer.name for layer in network.layers] == [layer.name for layer in today.layers]
    for old, new in zip(network.variables, today.variables, strict=True):
        assert old.path == new.path
        np.testing.assert_array_equal(old, new, err_msg=new.path)


def test_registered_layer_names_stay():
    """Saved networks refer to these names, whatever module a layer is in."""
    registered = {
        heads: ("QuadraticHead", "LinearHead", "DistanceHead", "ProductHead", "TwoGuessesHead"),
        convolutions: ("MeanPooledConv2D", "JoinedConv2D"),
        layers: ("SiLU", "NoiseScaling"),
    }
    for module, names in registered.items():
        for name in names:
            layer = keras.saving.get_registered_object(f"tf_mdsm>{name}")
            assert layer is getattr(module, name)


def run_layers(function, images, *arguments):
    """Applies a function of symbolic images to images."""
    symbolic = keras.Input(images.shape[1:])
    return keras.Model(symbolic, function(symbolic, *arguments))(images).numpy()


@pytest.mark.parametrize(("size", "use_bias"), [(3, True), (1, True), (5, False)])
def test_mean_pooled_convolution(size, use_bias):
    """Equals a convolution followed by average pooling, also at the borders; can be cloned."""
    fused = convolutions.MeanPooledConv2D(3, size, padding="same", use_bias=use_bias)
    plain = keras.layers.Conv2D(3, size, padding="same", use_bias=use_bias)
    images = noisy_images(2, 6, 4, 5)
    pooled = fused(images)
    plain.build(images.shape)
    plain.set_weights(fused.get_weights())
    expected = keras.layers.AveragePooling2D(2)(plain(images))
    # Sums of at most 125 products of numbers about 1, added in another order.
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    assert fused.compute_output_shape(images.shape) == pooled.shape
    clone = convolutions.MeanPooledConv2D.from_config(fused.get_config())
    clone.build(images.shape)
    clone.set_weights(fused.get_weights())
    np.testing.assert_array_equal(clone(images), pooled)


@pytest.mark.parametrize(("size", "use_bias"), [(3, True), (1, True), (5, False)])
def test_joined_convolution(size, use_bias):
    """Equals upsampling, concatenation and convolution, also at the borders; can be cloned."""
    small, large = noisy_images(2, 3, 2, 4), noisy_images(2, 6, 4, 3, seed=1)
    joined = convolutions.JoinedConv2D(5, size, padding="same", use_bias=use_bias)
    result = joined([small, large])
    plain = keras.layers.Conv2D(5, size, padding="same", use_bias=use_bias)
    repeated = np.repeat(np.repeat(small, 2, 1), 2, 2)
    concatenated = np.concatenate([repeated, large], -1)
    plain.build(concatenated.shape)
    plain.set_weights(joined.get_weights())
    np.testing.assert_allclose(result, plain(concatenated), atol=1e-5)
    assert joined.compute_output_shape([small.shape, large.shape]) == result.shape
    clone = convolutions.JoinedConv2D.from_config(joined.get_config())
    clone.build([small.shape, large.shape])
    clone.set_weights(joined.get_weights())
    np.testing.assert_array_equal(clone([small, large]), result)


def test_patches_hold_their_pixels_and_can_be_inverted():
    images = noisy_images(2, 6, 4, 3)
    cut = run_layers(layers.to_patches, images, 2, "float32", "patches")
    assert cut.shape == (2, 3, 2, 12)
    np.testing.assert_array_equal(cut[1, 2, 0], np.ravel(images[1, 4:6, 0:2]))
    back = run_layers(layers.from_patches, tf.constant(cut), 2, "float32", "back")
    np.testing.assert_array_equal(back, images)


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


def test_noise_scaling_by_the_estimated_noise():
    """The estimate is 0 for linear ramps, and right for white noise within its standard error."""
    images = np.zeros((4, 64, 64, 3), np.float32)
    images += np.linspace(0, 1, 64)[:, None, None]
    images[2:] += np.linspace(0, 1, 64)[None, :, None]
    np.testing.assert_allclose(layers.estimate_noise_variance(images), 0, atol=1e-12)
    sigma = np.array([0.1, 0.5, 1.0, 3.0])
    noisy = images + sigma[:, None, None, None] * np.random.default_rng(0).normal(size=images.shape)
    variance = np.asarray(layers.estimate_noise_variance(noisy))
    # Of n = 32 * 32 * 3 coefficients the estimate has the standard error sqrt(2 / n) = 2.6 %.
    np.testing.assert_allclose(variance, sigma**2, rtol=5 * np.sqrt(2 / 3072))
    scaled = layers.NoiseScaling(dtype="float64")(noisy)
    expected = (noisy - 0.5) / np.sqrt(variance + 0.25)[:, None, None, None]
    np.testing.assert_allclose(scaled, expected, rtol=1e-12)


def test_noise_is_estimated_in_images_of_odd_sides():
    noise = np.random.default_rng(0).normal(size=(1, 63, 65, 1))
    even = layers.estimate_noise_variance(noise[:, :62, :64])
    np.testing.assert_allclose(layers.estimate_noise_variance(noise), even)
