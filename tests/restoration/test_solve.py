"""Solving of inverse problems with a sampler."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.eager import uncompiled
from tests.helpers.image_data import random_uint8
from tests.helpers.smooth_gaussian import SmoothGaussian
from tests.helpers.targets import FunctionTarget
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.operators import (
    Downsampling,
    Grayscale,
    Inpainting,
    LinearOperator,
    LowPass,
    RandomProjections,
)
from tf_mdsm.restoration.solve import (
    default_method,
    denoise_blindly,
    denoise_in_half_steps,
    half_steps,
    restore,
    solve,
)
from tf_mdsm.restoration.tasks import create_task
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.schedules import growing_step_sizes
from tf_mdsm.samplers.starts import IsotropicStart, SmoothStart


def constant_images(x):
    """Energy and score if clean images are constant: D(x) is the mean of the pixels."""
    offset = x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * 0.1**2), -offset / 0.1**2


def normal_images(count):
    """Noisy images around gray."""
    noise = np.random.default_rng(0).standard_normal((count, 8, 8, 1))
    return (0.5 + 0.3 * noise).astype(np.float32)


TARGET = FunctionTarget(constant_images, (8, 8, 1), sigma0=0.1)


def ascent(sigma_start):
    return CoarseToFine(sigma_start, 0.01, growing_step_sizes(0.05, 100), beta=0.5)


@pytest.mark.parametrize("name", ["inpaint_half", "super_resolution_2"])
def test_solve_restores_images_by_their_values(name):
    """Every solution agrees with the values, has the right gray, and follows from its seed."""
    originals = np.float32([0.2, 0.6, 0.8])[:, None, None, None] * np.ones((3, 8, 8, 1), np.float32)
    task = create_task(name, (8, 8, 1))
    values = task.operator.measure(tf.constant(originals)).numpy()
    restored = solve(
        TARGET, ascent(1.0), task.operator, values, num_solutions=2, seed=7, batch_size=4
    )
    assert restored.shape == (3, 2, 8, 8, 1)
    for solutions in restored.swapaxes(0, 1):
        np.testing.assert_allclose(task.operator.measure(tf.constant(solutions)), values, atol=1e-6)
        np.testing.assert_allclose(solutions, originals, atol=0.03)
    # Image 1 has the seeds 9 and 10.
    one = solve(
        TARGET, ascent(1.0), task.operator, values[1:2], num_solutions=2, seed=9, batch_size=9
    )
    np.testing.assert_allclose(one[0], restored[1], rtol=1e-4, atol=1e-5)
    # Block means determine a constant image; known pixels do not determine the others exactly.
    if name == "inpaint_half":
        assert np.abs(restored[:, 0] - restored[:, 1]).max() > 1e-4
        np.testing.assert_array_equal(restored[:, :, :4], np.stack([originals[:, :4]] * 2, 1))


def test_denoise_blindly_starts_at_the_noisy_images():
    """The noise levels differ, and neither is that of the sampler's own start."""
    grays = np.float32([0.2, 0.7])[:, None, None, None]
    noise = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    noisy = (grays + np.array([0.1, 0.4])[:, None, None, None] * noise).astype(np.float32)
    denoised = denoise_blindly(TARGET, ascent(30.0), noisy, num_solutions=2, seed=3, batch_size=3)
    assert denoised.shape == (2, 2, 8, 8, 1)
    assert denoised.std(axis=(2, 3, 4)).max() < 1e-5
    errors = np.abs(denoised - grays[:, None]).max(axis=(1, 2, 3, 4))
    # The mean of 64 pixels with this noise, and the noise that the sampler adds.
    assert (errors < 5 * 2 * np.array([0.1, 0.4]) / 8).all()
    assert np.abs(denoised[:, 0] - denoised[:, 1]).max() > 1e-5


def shrinking(kept, noise):
    """A target whose denoiser is D(x) = 1/2 + kept (x - 1/2), for gray images of 8 x 8 pixels."""

    def energy_and_score(x):
        offset = (1 - kept) * (x - 0.5)
        return tf.reduce_sum(offset * (x - 0.5), (1, 2, 3)) / (2 * 0.1**2), -offset / 0.1**2

    return types.SimpleNamespace(
        energy_and_score=energy_and_score, image_shape=(8, 8, 1), sigma0=0.1, noise=noise
    )


@pytest.mark.parametrize(("level", "num_steps"), [(0.01, 0), (0.07, 1), (0.3, 4), (100.0, 8)])
def test_half_steps_end_when_little_noise_is_found(level, num_steps):
    """Each step halves what D(x) takes away; D(x) of the last image is the result."""
    kept, signs = 0.2, np.sign(normal_images(1) - 0.5)
    target = shrinking(kept, NoiseLevels(0.02, 1.0, 8))
    noisy = np.float32(0.5 + level * signs)
    # The rule by hand: the noise that is found is 0.8 of the offset, a step leaves 0.6 of it.
    assert num_steps == min(8, sum(0.8 * level * 0.6**step >= 0.04 for step in range(20)))
    expected = 0.5 + kept * ((1 + kept) / 2) ** num_steps * level * signs
    both = denoise_in_half_steps(target, np.concatenate([noisy, noisy[..., ::-1, :]]))
    np.testing.assert_allclose(both, [expected[0], expected[0, :, ::-1]], rtol=1e-5)
    assert both.dtype == np.float32
    assert half_steps(target.noise).max_gradient_evaluations == 9


def test_half_steps_take_pixels_from_0_to_255():
    target, levels = shrinking(0.2, NoiseLevels(0.02, 1.0, 8)), random_uint8(2, 8, 8, 1)
    from_floats = denoise_in_half_steps(target, levels / np.float32(255))
    np.testing.assert_array_equal(denoise_in_half_steps(target, levels), from_floats)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.zeros((8, 8, 1)), r"`images` must have the shape \[B, 8, 8, 1\] \(one image as"),
        (np.zeros((0, 8, 8, 1)), "`images` must be finite numbers, .* Received: no image"),
        (np.full((1, 8, 8, 1), np.inf), "`images` must be finite numbers, .* Received: NaN or inf"),
        (np.zeros((1, 8, 7, 1)), r"`images` must have the shape \[B, 8, 8, 1\]"),
        (np.zeros((1, 8, 8, 3)), r"`images` must have the shape \[B, 8, 8, 1\]"),
    ],
)
def test_what_is_no_batch_of_images_is_not_denoised(images, match):
    with pytest.raises(InvalidArgument, match=match):
        denoise_in_half_steps(shrinking(0.2, NoiseLevels(0.02, 1.0, 8)), images)


def test_half_steps_need_noise_levels_and_a_denoiser():
    noisy = np.zeros((1, 8, 8, 1))
    with pytest.raises(InvalidArgument, match="a target that has no attribute noise"):
        denoise_in_half_steps(TARGET, noisy)
    target = shrinking(0.2, NoiseLevels(0.02, 1.0, 8, weighting="score"))
    with pytest.raises(InvalidArgument, match=r'`method` must be AnnealedLangevin.*"score"'):
        denoise_in_half_steps(target, noisy)


@pytest.mark.parametrize("batch_size", [3, 4, 50])
def test_solutions_are_found_in_batches(batch_size):
    """No more images than a batch at a time, each as it is alone with its values and its seed."""
    sizes, operator = [], Downsampling(2)

    def counted(images):
        sizes.append(len(images))
        return constant_images(images)

    target, noisy = FunctionTarget(counted, (8, 8, 1), sigma0=0.1), normal_images(3)
    method = CoarseToFine(1.0, 0.1, growing_step_sizes(0.3, 3), beta=0.5)

    def restored(images, seed, num_solutions=1, batch_size=1):
        options = {"num_solutions": num_solutions, "seed": seed, "batch_size": batch_size}
        solved = solve(target, method, operator, operator.measure(images).numpy(), **options)
        return np.stack([solved, denoise_blindly(target, method, images, **options)])

    with uncompiled():
        together = restored(noisy, 3, num_solutions=2, batch_size=batch_size)
        assert max(sizes) == min(batch_size, 6)
        for image in range(3):
            for solution in range(2):
                alone = restored(noisy[image : image + 1], 3 + 2 * image + solution)
                np.testing.assert_allclose(
                    together[:, image, solution], alone[:, 0, 0], rtol=1e-4, atol=1e-5
                )


MASK = np.arange(64).reshape(8, 8) % 3 > 0


@pytest.fixture(scope="module")
def grays():
    return np.float32([0.2, 0.6, 0.8])[:, None, None, None] * np.ones((3, 8, 8, 1), np.float32)


def test_a_model_that_is_no_denoiser_does_not_denoise():
    noise = NoiseLevels(0.1, 1.0, 8, weighting="score")
    target = types.SimpleNamespace(**vars(TARGET), noise=noise)
    noisy = np.zeros((1, 8, 8, 1), np.float32)
    with pytest.raises(InvalidArgument, match=r'`method` must be AnnealedLangevin.*"score"'):
        denoise_blindly(target, ascent(1.0), noisy, num_solutions=1, seed=0)


def test_restore_keeps_known_pixels_and_finds_the_others(grays):
    """Known pixels are kept bit for bit; photos may be uint8."""
    operator = Inpainting(MASK)
    restored = restore(
        TARGET, operator.measure(grays), operator, seeds=range(3), method=ascent(1.0)
    )
    assert (restored.shape, restored.dtype) == (grays.shape, np.float32)
    np.testing.assert_array_equal(restored[:, MASK], grays[:, MASK])
    np.testing.assert_allclose(restored, grays, atol=0.03)
    photos = np.uint8(255 * grays)
    np.testing.assert_array_equal(
        operator.measure(photos), photos / np.float32(255) * MASK[..., None]
    )


def test_an_image_follows_from_its_values_and_its_seed(grays):
    operator = Downsampling(2)
    values, seeds = operator.measure(grays), [5, 9, 2]
    together = restore(TARGET, values, operator, seeds=seeds, method=ascent(1.0), batch_size=2)
    alone = restore(TARGET, values[1:2], operator, seeds=seeds[1:2], method=ascent(1.0))
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"values": np.zeros((3, 4, 4, 1))}, r"`values` must be finite numbers \[N, 8, 8, 1\]"),
        ({"values": np.zeros((8, 8, 1))}, r"Received: shape \[8, 8, 1\]"),
        ({"values": np.full((3, 8, 8, 1), np.nan)}, "Received: NaN or infinity"),
        ({"values": np.zeros((3, 8, 8, 1), np.uint8)}, "`values` must be floats"),
        ({"seeds": [1, 2]}, "`seeds` must be one for each of 3 values"),
        ({"seeds": [1, 1, 2]}, "`seeds` must differ"),
        ({"seeds": 3}, "`seeds` must be one for each image"),
        ({"target": constant_images}, "`target` must have"),
        ({"method": None}, "`method` must be given"),
        ({"method": "heun"}, "`method` must be a method"),
        ({"operator": "inpaint"}, "`operator` must be a LinearOperator"),
        ({"batch_size": 0}, "`batch_size` must be a whole number"),
    ],
)
def test_wrong_calls_are_refused(grays, change, match):
    arguments = {"target": TARGET, "values": grays, "operator": Inpainting(MASK)}
    arguments |= {"seeds": range(3), "method": ascent(1.0)}
    with pytest.raises(InvalidArgument, match=match):
        restore(**{**arguments, **change})


class Cut(LinearOperator):
    """An operator of one's own, for images of 4 x 4 pixels, whose adjoint gives no other size."""

    def measure(self, images):
        return images[:, :4, :4]

    def adjoint(self, values):
        return values


@pytest.mark.parametrize(
    "operator",
    [
        Downsampling(3),
        Downsampling(16),
        Inpainting(np.ones((9, 9))),
        Inpainting(np.ones((1, 1))),
        Inpainting(np.eye(8)[:1]),
        LowPass((16, 16, 1), 0.2),
        RandomProjections((4, 4, 1), 3, 0),
        Grayscale(),
        Cut(),
    ],
)
@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 4, 1)])
def test_operators_that_do_not_fit_the_target_are_refused(grays, operator, shape):
    """Whatever the values are."""
    message = f"`operator` must fit images of 8 x 8 x 1. Received: {type(operator).__name__}$"
    with pytest.raises(InvalidArgument, match=message):
        restore(TARGET, np.zeros((3, *shape)), operator, method=ascent(1.0))


NO_NUMBERS = FunctionTarget(lambda x: (np.nan * x[:, 0, 0, 0], np.nan * x), (8, 8, 1), sigma0=0.1)


@pytest.mark.parametrize("name", ["restore", "denoise_blindly", "denoise_in_half_steps"])
def test_images_that_are_not_finite_are_an_error(grays, name):
    target = types.SimpleNamespace(**vars(NO_NUMBERS), noise=NoiseLevels(0.02, 1.0, 8))
    calls = {
        "restore": lambda: restore(target, grays, Inpainting(MASK), method=ascent(1.0)),
        "denoise_blindly": lambda: denoise_blindly(
            target, ascent(1.0), grays, num_solutions=1, seed=0
        ),
        "denoise_in_half_steps": lambda: denoise_in_half_steps(target, grays),
    }
    with pytest.raises(RunError, match=r"^the restored images are not finite numbers$"):
        calls[name]()


def test_the_default_method_covers_the_trained_levels():
    noise = NoiseLevels(0.2, 2.0)
    model = EnergyModel(build_network("dense", (8, 8, 1), channels=4), noise)
    method = default_method(model)
    assert method.sigma_range(model) == (0.2, 2.0)
    assert method.num_steps == 150
    with pytest.warns(UserWarning, match=r"0\.01 to 5, but the model was trained for 0\.2 to 2"):
        restore(model, np.zeros((1, 8, 8, 1)), Inpainting(MASK), seeds=[0], method=ascent(5.0))


def test_the_default_method_for_images_of_any_size_starts_smooth_and_near():
    """At ten times the smallest level, or at the largest if that is less."""
    for largest, expected in ((0.6, 0.2), (0.1, 0.1)):
        target = SmoothGaussian(32, 16.0, NoiseLevels(0.02, largest, 8))
        method = default_method(target)
        assert method.sigma_range(target) == pytest.approx((0.02, expected))
        assert method.start == SmoothStart(expected)
        assert (method.step_sizes == 1).all()


def test_a_hole_is_filled_in_as_the_posterior_says():
    """A bright photograph with a hole: a start around gray, at the largest level, stays dark."""
    target = SmoothGaussian(32, 16.0, NoiseLevels(0.02, 0.6, 8))
    known, bright = np.ones((32, 32), bool), np.full((32, 32), 0.9)
    known[8:24, 8:24] = False
    mean, std = target.posterior(known, bright)
    operator = Inpainting(known)
    values = operator.measure(np.tile(bright[..., None], (4, 1, 1, 1)))

    def error(method):
        """Distance of solutions to the posterior's mean, in its standard deviations."""
        restored = restore(target, values, operator, method=method)[:, ~known][..., 0]
        return np.sqrt(np.mean((restored - mean) ** 2)) / std

    assert error(default_method(target)) < 1
    steps = growing_step_sizes(h0=0.01, max_steps=150)
    around_gray = CoarseToFine(0.6, 0.02, steps, beta=0.1, start=IsotropicStart(0.6))
    assert error(around_gray) > 1.5
