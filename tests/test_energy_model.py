"""The energy model: E(x), its score, D(x), and the training step."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.eager import uncompiled
from tests.helpers.gpus import missing_on_gpus, with_gpus
from tf_mdsm import energy_model, losses, randomness
from tf_mdsm.datasets.synthetic import blobs
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.energy_network import guess_network
from tf_mdsm.noise import NoiseLevels, assign_levels
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.training.optimizers import Adam

SHAPE = (8, 8, 1)
LEARNING_RATE = 1e-4


def make_model(optimizer="sgd", **arguments):
    network = build_network("dense", SHAPE, 8, seed=1)
    model = EnergyModel(network, NoiseLevels(0.1, 1.0, 8), **arguments)
    model.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE) if optimizer == "sgd" else optimizer
    )
    return model


def some_images(count=8, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(size=(count, *SHAPE)), tf.float32)


def test_energy_score_and_denoise_agree():
    model, images = make_model(), some_images()
    energy, gradient = losses.energy_and_gradient(model.network, images)
    np.testing.assert_array_equal(model.energy(images), energy)
    np.testing.assert_array_equal(model(images), energy)
    np.testing.assert_array_equal(model.score(images), -gradient)
    energy_again, score = model.energy_and_score(images)
    np.testing.assert_array_equal(energy_again, energy)
    np.testing.assert_array_equal(score, -gradient)
    np.testing.assert_allclose(model.denoise(images), images - 0.01 * gradient, rtol=1e-6)
    assert model.image_shape == SHAPE


def test_noise_level_is_the_length_of_the_scaled_score():
    model, images = make_model(), some_images()
    score = model.noise.sigma0**2 * model.score(images).numpy()
    expected = np.sqrt(np.mean(score**2, (1, 2, 3)))
    # D(x) - x is the difference of pixels near 1, which are rounded to 24 bits.
    np.testing.assert_allclose(model.noise_level(images), expected, atol=2**-24)


@pytest.mark.parametrize("name", ["energy", "score", "denoise", "noise_level", "__call__"])
def test_images_of_any_kind(name):
    """uint8, any precision and lists; a single image is refused."""
    model = make_model()
    function, levels = getattr(model, name), np.arange(128, dtype=np.uint8).reshape(2, *SHAPE)
    expected = function(levels.astype(np.float32) / 255)
    floats = levels / 255
    for images in (levels, tf.constant(levels), floats, tf.constant(floats), floats.tolist()):
        np.testing.assert_allclose(function(images), expected, rtol=1e-5, atol=1e-6)
    for wrong in (levels[0], levels.astype(int), levels[:, :4]):
        with pytest.raises(InvalidArgument, match="`images` must"):
            function(wrong)


@pytest.mark.parametrize("name", ["energy", "score", "energy_and_score", "denoise", "noise_level"])
def test_pixels_of_another_unit_are_warned_of(name):
    """Bytes as floats, and [-1, 1], are told from images under noise of any level."""
    model, random = make_model(), np.random.default_rng(0)
    clean = random.uniform(size=(2, *model.image_shape)).astype(np.float32)
    ends = clean.copy()
    ends[0, 0, 0, 0], ends[0, 0, 1, 0] = 0, 1
    for wrong in (255 * clean, 2 * ends - 1):
        with pytest.warns(UserWarning, match="`images` must hold pixels of which 0 is black"):
            getattr(model, name)(wrong)
    for right in (
        clean,
        clean + 3 * random.normal(size=clean.shape),
        (255 * clean).astype("uint8"),
    ):
        getattr(model, name)(right)


def test_wrong_momentum_is_refused():
    with pytest.raises(InvalidArgument, match=r"`ema_momentum` must lie in \[0, 1\)"):
        make_model(ema_momentum=1.0)


def test_wrong_clip_norm_is_refused():
    with pytest.raises(InvalidArgument, match="`clip_norm` must not be negative"):
        make_model(clip_norm=-1.0)


@pytest.mark.parametrize("wrong", [0, 2.5, "2"])
def test_wrong_accumulation_steps_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`accumulation_steps` must be a whole number"):
        make_model(accumulation_steps=wrong)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("seed", None),
        ("seed", 1.0),
        ("seed", 2**63),
        ("ema_momentum", "0.9"),
        ("clip_norm", None),
        ("clip_norm", np.inf),
        ("denoiser_steps", 1.0),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused(name, wrong):
    """When the model is made, not at its first step."""
    with pytest.raises(InvalidArgument, match=f"`{name}` must"):
        make_model(**{name: wrong})


@pytest.mark.parametrize("wrong", [0.1, 0.0, {"sigma_min": 0.1}])
def test_what_are_no_noise_levels_is_refused(wrong):
    with pytest.raises(InvalidArgument, match=r"`noise` must be a NoiseLevels, as NoiseLevels\(0"):
        EnergyModel(build_network("dense", SHAPE, 8), wrong)


@pytest.mark.parametrize(
    "name", ["energy", "score", "energy_and_score", "denoise", "noise_level", "__call__"]
)
def test_no_image_is_refused(name):
    model = make_model()
    with pytest.raises(InvalidArgument, match="`images` must hold at least one image"):
        getattr(model, name)(some_images()[:0])
    # In a graph the number of images may be open; then nothing is checked.
    open_batch = tf.function(
        getattr(model, name), input_signature=[tf.TensorSpec([None, *SHAPE])], autograph=False
    )
    of_two = tf.nest.flatten(open_batch(some_images(2)))
    assert all(len(tensor) == 2 for tensor in of_two)


def noisy_images(model, images, step):
    """Noisy images of a training step and their noise levels, [b], from the definition."""
    batch = len(images)
    seed = tf.constant(model.noise_seed, tf.int64)
    place = tf.range(batch)
    levels = assign_levels(
        place, batch, model.noise.num_levels, seed=seed, step=tf.constant(step, tf.int64)
    )
    sigma = tf.gather(model.noise.sigmas, levels)
    normal = randomness.normal(tf.fill([batch], seed), (step, place), "training_noise", SHAPE)
    return images + sigma[:, None, None, None] * normal, sigma


def expected_update(model, images, step):
    """Normalized loss and its gradients, computed from the definition."""
    noisy, sigma = noisy_images(model, images, step)
    with tf.GradientTape() as tape:
        _, gradient = losses.energy_and_gradient(model.network, noisy)
        residual = images - noisy + model.noise.sigma0**2 * gradient
        each = tf.reduce_sum(residual**2, (1, 2, 3)) / sigma**2
        loss = tf.reduce_mean(each)
    return loss, tape.gradient(loss, [v.value for v in model.network.trainable_variables])


def test_accumulated_gradients_are_those_of_the_whole_batch():
    """Loss and update are the same, up to rounding: sums have another order."""
    images = some_images(12)
    whole = make_model(seed=5)
    in_parts = make_model(seed=5, accumulation_steps=3)
    before = [v.numpy() for v in whole.network.trainable_variables]
    logs, logs_in_parts = whole.train_step(images), in_parts.train_step(images)
    for name, value in logs.items():
        assert float(logs_in_parts[name]) == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(
        in_parts.band_tracker.result(), whole.band_tracker.result(), rtol=1e-5
    )
    for old, weight, expected in zip(
        before,
        in_parts.network.trainable_variables,
        whole.network.trainable_variables,
        strict=True,
    ):
        update = expected.numpy() - old
        rounding = 2**-22 * np.linalg.norm(old)
        error = np.linalg.norm(weight.numpy() - expected.numpy())
        assert error < 1e-4 * np.linalg.norm(update) + rounding, weight.path


def own_network():
    """A network of one's own, whose last bias adds the same to all energies."""
    layers = [keras.layers.Dense(4, "silu"), keras.layers.Dense(1)]
    for seed, layer in enumerate(layers):
        layer.kernel_initializer = keras.initializers.GlorotUniform(seed)
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize("accumulation_steps", [1, 3])
def test_weights_without_influence_on_the_score_have_the_gradient_zero(accumulation_steps):
    """The others learn as in the same network without them."""
    network, images = own_network(), some_images(12)
    model = EnergyModel(network, NoiseLevels(0.1, 1.0, 8), accumulation_steps=accumulation_steps)
    model.compile(keras.optimizers.SGD(LEARNING_RATE))
    _, gradients = expected_update(model, images, step=0)
    *gradients, of_last_bias = gradients
    assert of_last_bias is None
    before = [variable.numpy() for variable in network.trainable_variables]
    model.train_step(images)
    *weights, last_bias = [variable.numpy() for variable in network.trainable_variables]
    np.testing.assert_array_equal(last_bias, before.pop())
    for old, weight, gradient in zip(before, weights, gradients, strict=True):
        expected = old - LEARNING_RATE / model.noise.sigma0**4 * gradient
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_images", [1, 2, 7, 8])
@pytest.mark.parametrize("num_parts", [2, 3])
def test_parts_at_once_do_not_change_energies_and_scores(monkeypatch, num_parts, num_images):
    """Whatever they divide the batch into, also where its size is left open."""
    images = some_images(num_images)
    whole = make_model(seed=5)
    monkeypatch.setattr(energy_model, "num_parts_at_once", lambda: num_parts)
    in_parts = make_model(seed=5)
    expected = whole.energy_and_score(images)
    open_batch = tf.function(
        in_parts.energy_and_score,
        input_signature=[tf.TensorSpec([None, *SHAPE])],
        autograph=False,
    )
    for received in (in_parts.energy_and_score(images), open_batch(images)):
        for one, other in zip(received, expected, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_images", [8, 7])
def test_parts_at_once_do_not_change_the_training_step(monkeypatch, num_images):
    images = some_images(num_images)
    whole = make_model(seed=5)
    monkeypatch.setattr(energy_model, "num_parts_at_once", lambda: 2)
    in_parts = make_model(seed=5)
    logs, logs_in_parts = whole.train_step(images), in_parts.train_step(images)
    for name, value in logs.items():
        assert float(logs_in_parts[name]) == pytest.approx(float(value), rel=1e-5)


def test_the_network_computes_the_parts(monkeypatch):
    """Each in a call of its own; a model that XLA compiles does not divide its batch."""
    monkeypatch.setattr(energy_model, "num_parts_at_once", lambda: 2)
    for compile_gradients, sizes in ((False, [3, 3]), (True, [5])):
        model = make_model(compile_gradients=compile_gradients)
        calls = []
        call = model.network.call
        monkeypatch.setattr(
            model.network,
            "call",
            lambda images, *rest, call=call, calls=calls, **options: (
                calls.append(images.shape[0]) or call(images, *rest, **options)
            ),
        )
        model.energy(some_images(5))
        assert calls == sizes


def test_gradients_are_clipped_and_the_norm_before_clipping_is_reported():
    images = some_images()
    # No limit, a limit below the gradients' norm, and a limit above it.
    models = [make_model(clip_norm=norm) for norm in (0.0, 1e-3, 1e6)]
    before = [v.numpy() for v in models[0].network.trainable_variables]
    logs = [model.train_step(images) for model in models]
    norm = float(logs[0]["gradient_norm"])
    assert norm > 1e-3
    for other_logs in logs[1:]:
        assert float(other_logs["gradient_norm"]) == norm
    for old, unclipped, clipped, below_limit in zip(
        before, *(model.network.trainable_variables for model in models), strict=True
    ):
        np.testing.assert_array_equal(unclipped, below_limit)
        # The clipped gradient is the gradient, scaled from its norm to the norm 1e-3.
        expected = (unclipped.numpy() - old) * 1e-3 / norm
        rounding = 2**-22 * np.linalg.norm(old)
        error = np.linalg.norm(clipped.numpy() - old - expected)
        assert error < 1e-4 * np.linalg.norm(expected) + rounding, clipped.path


def test_train_step_is_gradient_descent_on_the_raw_loss():
    model, images = make_model(seed=5), some_images()
    for step in range(2):
        before = [v.numpy() for v in model.network.trainable_variables]
        loss, gradients = expected_update(model, images, step)
        model.reset_metrics()
        logs = model.train_step(images)
        assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-5)
        norm = float(tf.linalg.global_norm(gradients))
        assert float(logs["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
        for old, variable, gradient in zip(
            before, model.network.trainable_variables, gradients, strict=True
        ):
            update = -LEARNING_RATE * gradient / model.noise.sigma0**4
            # Most of the error of the difference comes from the rounding of the weights.
            rounding = 2**-22 * np.linalg.norm(old)
            error = np.linalg.norm(variable.numpy() - old - update)
            assert error < 1e-4 * np.linalg.norm(update) + rounding, variable.path


def unet_model(**arguments):
    structure = UNetStructure(num_resolutions=2, num_blocks=1)
    network = build_network("unet", SHAPE, 4, head="distance", seed=1, structure=structure)
    model = EnergyModel(network, NoiseLevels(0.1, 1.0, 8), seed=5, **arguments)
    model.compile(keras.optimizers.SGD(1e-7))
    return model


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_the_first_steps_train_a_plain_denoiser_and_the_others_the_energy(accumulation_steps):
    images = some_images(6)
    model = unet_model(denoiser_steps=1, accumulation_steps=accumulation_steps)
    energy_only = unet_model()
    network = energy_only.network

    # The first step is gradient descent on the squared error of the guess.
    noisy, sigma = noisy_images(model, images, step=0)
    with tf.GradientTape() as tape:
        residual = images - guess_network(network)(noisy)
        loss = tf.reduce_mean(tf.reduce_sum(residual**2, (1, 2, 3)) / sigma**2)
    weights = network.trainable_variables
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    energy_only.optimizer.apply([g / model.noise.sigma0**4 for g in gradients], weights)
    norm = tf.linalg.global_norm(gradients)
    assert_equal_logs(model.train_step(images), {"loss": loss, "gradient_norm": norm})
    assert_equal_weights(model.network, network)
    initial = unet_model().network.get_layer("last_conv").kernel
    assert np.linalg.norm(network.get_layer("last_conv").kernel - initial) > 0.01

    # The second step is the same as without a denoiser's.
    model.reset_metrics()
    assert_equal_logs(model.train_step(images), energy_only.train_step(images))
    assert_equal_weights(model.network, network)


def assert_equal_logs(logs, expected):
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(float(value), rel=1e-4), name


def assert_equal_weights(network, expected):
    """Up to rounding: sums have another order."""
    for weight, other in zip(network.weights, expected.weights, strict=True):
        error = np.linalg.norm(weight.numpy() - other.numpy())
        assert error < 1e-4 * np.linalg.norm(other.numpy()) + 1e-7, weight.path


@pytest.mark.parametrize("steps", [-1, 1])
def test_wrong_denoiser_steps_are_refused(steps):
    with pytest.raises(InvalidArgument, match="`denoiser_steps` must"):
        make_model(denoiser_steps=steps)


def test_mean_of_the_losses_per_band_is_the_loss():
    model, images = make_model(), some_images(16)
    model.train_step(images)
    bands = model.band_tracker.result().numpy()
    assert bands.shape == (8,)
    assert np.mean(bands) == pytest.approx(float(model.loss_tracker.result()), rel=1e-5)


def test_averaged_weights_follow_their_recursion():
    model = make_model(ema_momentum=0.25)
    assert model.inference_network is model.ema_network
    expected = [v.numpy() for v in model.network.variables]
    # The momentum grows with the number of steps, to its value in the second step.
    for step in range(1, 5):
        model.train_step(some_images(seed=step))
        momentum = min(0.25, (1 + step) / (10 + step))
        expected = [
            momentum * average + (1 - momentum) * weight.numpy()
            for average, weight in zip(expected, model.network.variables, strict=True)
        ]
    for average, value in zip(model.ema_network.variables, expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-5, atol=1e-6)
    differs = [
        not np.array_equal(average, weight)
        for average, weight in zip(
            model.ema_network.variables, model.network.variables, strict=True
        )
        if average.path != "energy/constant"
    ]
    assert all(differs)


@pytest.mark.parametrize("count", [7, 2])
def test_evaluation_works_in_the_parts_of_a_training_step(count, monkeypatch):
    """Also if the parts do not divide the images; the loss is the same, up to rounding."""
    images, sizes = some_images(count), []
    whole, in_parts = make_model(), make_model(accumulation_steps=3)
    in_parts.set_weights(whole.get_weights())
    losses = in_parts._normalized_losses

    def counted(network, clean, noisy, sigma):
        sizes.append(len(clean))
        return losses(network, clean, noisy, sigma)

    monkeypatch.setattr(in_parts, "_normalized_losses", counted)
    with uncompiled():
        expected, received = (model.test_step(images)["loss"] for model in (whole, in_parts))
    assert float(received) == pytest.approx(float(expected), rel=1e-5)
    assert sizes == [-(-count // 3)] * 3


def test_validation_losses_are_the_same_at_every_call():
    model, images = make_model(), some_images()
    first = model.validation_losses(images, tf.constant(0))
    model.train_step(images)
    model.network.set_weights(make_model().network.get_weights())
    np.testing.assert_array_equal(first, model.validation_losses(images, tf.constant(0)))
    assert not np.array_equal(first, model.validation_losses(images, tf.constant(1)))


def losses_of_evaluate(model, images, batch_size):
    """The loss of each image, from the definition: the noise follows from the images before."""
    return np.concatenate(
        [
            model.validation_losses(images[first : first + batch_size], first).numpy()
            for first in range(0, len(images), batch_size)
        ]
    )


@pytest.mark.parametrize(
    ("batch_size", "options"),
    [
        (1, {}),
        (3, {}),
        (8, {}),
        (3, {"accumulation_steps": 2}),
        (4, {"jit_compile": True}),
        (3, {"steps_per_execution": 3}),
    ],
    ids=["one by one", "short last batch", "at once", "in parts", "XLA", "three steps a call"],
)
def test_every_batch_of_an_evaluation_has_noise_of_its_own(batch_size, options):
    """And the same at every call, and in `test_on_batch` that of the first batch."""
    images, options = some_images(8).numpy(), dict(options)
    model = make_model(accumulation_steps=options.pop("accumulation_steps", 1))
    model.compile("sgd", **options)
    each = losses_of_evaluate(model, images, batch_size)
    for _ in range(2):
        received = model.evaluate(images, batch_size=batch_size, verbose=0)
        assert received == pytest.approx(each.mean(), rel=1e-5)
    first = model.test_on_batch(images[:batch_size])
    assert first == pytest.approx(each[:batch_size].mean(), rel=1e-5)


def test_validation_of_fit_is_the_evaluation_in_every_epoch():
    """The metrics of the training have no influence on its noise."""
    images, model = some_images(8).numpy(), make_model(keras.optimizers.SGD(0.0))
    history = model.fit(
        images, validation_data=images, batch_size=3, epochs=2, verbose=0, shuffle=False
    ).history
    expected = losses_of_evaluate(model, images, 3).mean()
    assert history["val_loss"] == pytest.approx([expected, expected], rel=1e-5)


def test_compiled_gradients_agree_with_uncompiled_ones():
    """Also where they are accumulated."""
    images = some_images()
    plain, compiled = make_model(), make_model(compile_gradients=True, accumulation_steps=2)
    expected, logs = plain.train_step(images), compiled.train_step(images)
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(float(value), rel=1e-5)


def test_fit_and_evaluate_of_keras():
    images = tf.data.Dataset.from_tensor_slices(blobs(256, 8, 1) / np.float32(255))
    model = EnergyModel(build_network("res6", SHAPE, 8), NoiseLevels(0.1, 1.0), ema_momentum=0.9)
    model.compile(optimizer=Adam(3e-3, beta_2=0.95))
    # Without training the loss of an image is the number of its pixels, 64.
    history = model.fit(images.repeat().batch(32), steps_per_epoch=40, epochs=2, verbose=0).history
    assert set(history) == {"loss", "gradient_norm"}
    assert history["loss"][1] < 0.7 * history["loss"][0] < 64
    assert model.evaluate(images.batch(32), verbose=0) < 0.7 * history["loss"][0]
    assert int(model.optimizer.iterations.numpy()) == 80


def test_weights_can_be_saved_and_loaded_by_keras(tmp_path):
    model, other = make_model(ema_momentum=0.5), make_model(ema_momentum=0.5)
    model.train_step(some_images())
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(model.energy(some_images()), other.energy(some_images()))


def test_gpus_have_every_operation_of_a_training_step():
    model = make_model(ema_momentum=0.9)
    assert missing_on_gpus(model.train_step, tf.TensorSpec((128, *SHAPE))) == set()


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), True), ((12, 0), False)])
def test_keras_compiles_nothing_where_xla_ends_the_process(monkeypatch, capability, expected):
    with_gpus(monkeypatch, capability)
    devices = [tf.config.PhysicalDevice("GPU:0", "GPU")]
    model = make_model()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: devices)
    assert EnergyModel(model.network).jit_compile == expected  # What `predict` uses.
    model.compile("sgd")
    assert model.jit_compile == expected


# Images of any size.


@functools.cache
def free_model(**arguments):
    structure = UNetStructure(num_resolutions=2, scale_input=True)
    network = build_network("unet", (None, None, 1), 2, structure=structure)
    return EnergyModel(network, NoiseLevels(0.1, 1.0, 8), **arguments)


def images_of_size(height, width, count=2):
    pixels = np.random.default_rng(0).uniform(size=(count, height, width, 1))
    return tf.constant(pixels, tf.float32)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (8, 8), (13, 6)])
def test_all_functions_take_any_size(height, width):
    model, images = free_model(), images_of_size(height, width)
    assert model.image_shape == (None, None, 1)
    energy, gradient = losses.energy_and_gradient(model.network, images)
    np.testing.assert_allclose(model.energy(images), energy, rtol=1e-6)
    np.testing.assert_allclose(model(images), energy, rtol=1e-6)
    np.testing.assert_allclose(model.score(images), -gradient, rtol=1e-4, atol=1e-4)
    denoised = images - 0.01 * gradient
    np.testing.assert_allclose(model.denoise(images), denoised, atol=1e-5)
    level = losses.noise_level(images, denoised)
    np.testing.assert_allclose(model.noise_level(images), level, rtol=1e-4)
    # A window that holds the whole image.
    levels = np.ones((height, width)) * level[:, None, None]
    np.testing.assert_allclose(model.noise_level_map(images, window=27), levels, rtol=1e-4)
    per_value = model.energy_per_value(images)
    np.testing.assert_allclose(per_value, energy / (height * width), rtol=1e-6)


def test_images_that_are_too_small_are_refused():
    for name in ("energy", "score", "denoise", "noise_level", "__call__"):
        with pytest.raises(InvalidArgument, match="at least 2 pixels high and wide"):
            getattr(free_model(), name)(images_of_size(1, 9))


def test_a_window_must_have_a_middle():
    with pytest.raises(InvalidArgument, match="`window` must be an odd number"):
        free_model().noise_level_map(images_of_size(8, 8), window=4)


def test_samples_have_the_size_that_is_asked_for():
    model, method = free_model(), Heun([1.0, 0.1])
    assert model.sample([0, 1], method, image_size=(6, 5)).shape == (2, 6, 5, 1)
    with pytest.raises(InvalidArgument, match="`image_size` must be given"):
        model.sample([0], method)


def test_a_model_of_any_size_is_trained_saved_and_loaded(tmp_path):
    """A step with a network of any size is that with a network of the images' size."""
    structure, weights = UNetStructure(num_resolutions=2), []
    for shape in ((None, None, 1), SHAPE):
        network = build_network("unet", shape, 2, structure=structure)
        model = EnergyModel(network, NoiseLevels(0.1, 1.0, 8))
        model.compile(keras.optimizers.SGD(LEARNING_RATE))
        model.train_on_batch(some_images())
        weights.append(model.get_weights())
        if None in shape:
            model.save(tmp_path / "model.keras")
            free = model
    for mine, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(mine, other)
    loaded, images = keras.models.load_model(tmp_path / "model.keras"), images_of_size(9, 7)
    np.testing.assert_array_equal(loaded.denoise(images), free.denoise(images))
