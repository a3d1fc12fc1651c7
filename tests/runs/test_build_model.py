"""From a configuration to strategy, model and optimizer: each setting reaches its place."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.gpus import with_gpus
from tests.helpers.learning_rates import rates
from tests.helpers.small_runs import small_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.build_model import (
    build_model,
    build_optimizer,
    build_strategy,
    set_constant_rate,
)

# A cosine of float32, and some products.
TOLERANCE = 10 * float(np.finfo(np.float32).eps)


def test_a_model_has_its_settings():
    config = small_config(
        noise__sigma0=0.2,
        noise__num_levels=12,
        network__channels=6,
        optimizer__clip_norm=3.0,
        optimizer__ema_momentum=0.5,
        training__accumulation_steps=4,
        training__precision="mixed_bfloat16",
        seed=7,
    )
    model = build_model(config)
    assert model.image_shape == (8, 8, 1)
    assert model.noise.num_levels == 12
    assert model.noise.sigma0 == 0.2
    assert (model.clip_norm, model.ema_momentum) == (3.0, 0.5)
    assert (model.accumulation_steps, model.noise_seed) == (4, 7)
    assert model.network.get_layer("dense1").units == 6
    assert model.network.get_layer("dense1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(("setting", "expected"), [("auto", False), ("on", True), ("off", False)])
def test_gradients_are_compiled_on_request(setting, expected):
    """By default on GPUs only, of which there is none here."""
    model = build_model(small_config(training__jit_compile=setting))
    assert bool(model._compiled_losses_and_gradients._jit_compile) == expected


@pytest.mark.parametrize(
    ("setting", "capabilities", "expected"),
    [
        ("auto", [(8, 0)], True),
        ("auto", [None], True),
        ("auto", [(8, 0), (12, 0)], False),
        ("on", [(12, 0)], True),
        ("off", [(8, 0)], False),
    ],
)
def test_gradients_are_compiled_on_gpus_that_xla_knows(
    monkeypatch, setting, capabilities, expected
):
    with_gpus(monkeypatch, *capabilities)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert build_model(small_config(training__jit_compile=setting)).compile_gradients == expected


def test_the_seed_gives_the_initial_weights():
    weights = [build_model(small_config(seed=seed)).get_weights() for seed in (3, 3, 4)]
    for same, again in zip(weights[0], weights[1], strict=True):
        np.testing.assert_array_equal(same, again)
    assert any((one != other).any() for one, other in zip(weights[0], weights[2], strict=True))


def test_images_that_the_network_cannot_halve_are_refused():
    config = small_config(network__name="res6", network__channels=2, data__image_size=7)
    with pytest.raises(InvalidArgument, match=r"config\.data"):
        build_model(config)


@pytest.mark.parametrize("warmup_steps", [0, 10])
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_learning_rates(schedule, warmup_steps):
    """Over a run of 100 steps, at half the rates after a rollback."""
    config = small_config(
        optimizer__schedule=schedule,
        optimizer__learning_rate=1e-2,
        optimizer__final_learning_rate=1e-4,
        optimizer__warmup_steps=warmup_steps,
        training__num_steps=100,
    )
    steps = np.array([0, 3, 9, 10, 50, 99])
    expected = np.full(6, 1e-2)
    if schedule == "cosine":
        expected = 1e-4 + (1e-2 - 1e-4) * (1 + np.cos(np.pi * steps / 100)) / 2
    if warmup_steps:
        expected *= np.minimum(1, (steps + 1) / warmup_steps)
    for factor in (1.0, 0.5):
        ours = rates(build_optimizer(config, factor), steps)
        np.testing.assert_allclose(ours, factor * expected, rtol=TOLERANCE, atol=1e-2 * TOLERANCE)


def test_adam_has_its_settings():
    config = small_config(optimizer__beta_1=0.8, optimizer__beta_2=0.7, optimizer__epsilon=1e-3)
    optimizer = build_optimizer(config)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.8, 0.7, 1e-3)


def test_a_constant_rate_is_set_again():
    """A checkpoint restores its rate of before the rollback. A schedule has no such variable."""
    constant = small_config(optimizer__schedule="constant", optimizer__learning_rate=1e-2)
    optimizer = build_optimizer(constant)
    set_constant_rate(constant, optimizer, 0.5)
    assert float(optimizer.learning_rate) == pytest.approx(5e-3, rel=TOLERANCE)
    cosine = small_config(optimizer__warmup_steps=10)
    optimizer = build_optimizer(cosine)
    before = rates(optimizer, range(20))
    set_constant_rate(cosine, optimizer, 0.5)
    np.testing.assert_array_equal(rates(optimizer, range(20)), before)


def test_a_strategy_of_its_name():
    assert isinstance(
        build_strategy(small_config(training__strategy="one_device")),
        tf.distribute.OneDeviceStrategy,
    )
    mirrored = build_strategy(small_config(training__accumulation_steps=4))
    assert isinstance(mirrored, tf.distribute.MirroredStrategy)


def test_a_batch_that_replicas_cannot_share_is_refused(monkeypatch):
    devices = tf.config.list_logical_devices("CPU") * 3
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: devices)
    with pytest.raises(InvalidArgument, match=r"divisible by the number of replicas \(3\)"):
        build_strategy(small_config())


def test_accumulation_steps_that_do_not_divide_a_replicas_images_are_refused():
    message = r"`config.training.accumulation_steps` must divide the images of each replica \(16\)"
    with pytest.raises(InvalidArgument, match=message):
        build_strategy(small_config(training__accumulation_steps=3))


def test_a_network_for_patches_takes_images_of_any_size():
    config = small_config(
        data__patches=True,
        network__name="unet",
        network__head="distance",
        network__channels=2,
        network__unet__num_resolutions=2,
        optimizer__ema_momentum=0.5,
    )
    model = build_model(config)
    assert model.image_shape == model.ema_network.input_shape[1:] == (None, None, 1)
    assert model.energy(np.zeros((2, 5, 7, 1), np.float32)).shape == (2,)
    config.network.update(name="res6", head="quadratic")
    with pytest.raises(InvalidArgument, match="be unet for images of any size"):
        build_model(config)
