"""Tests of linear operators, restoration tasks, their solution by a sampler, and baselines."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation import image_quality as quality
from tf_mdsm.restoration.baselines import baseline_solution
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import LinearOperator, require_orthonormal_rows
from tf_mdsm.restoration.solve import denoise_blindly, solve
from tf_mdsm.restoration.tasks import create_task, fitting_tasks
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.schedules import growing_step_sizes
from tf_mdsm.samplers.starts import isotropic_start

ALL = [name for name in fitting_tasks((8, 8, 3), has_mask=True) if name != "denoise"]
CHECKERS = np.indices((8, 8)).sum(0)[..., None] % 2


def normal(shape, seed):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), tf.float32)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10, deadline=None)
@given(
    sides=st.tuples(*[st.sampled_from([4, 8, 12, 20])] * 2),
    share=st.floats(0.05, 0.95),
    cutoff=st.floats(0.02, 0.7),
    seed=st.integers(0, 2**32),
)
def test_adjoint_and_pseudoinverse(name, sides, share, cutoff, seed):
    """<A x, y> = <x, A'y>, A A' A x = A x, and |A'A x| <= |x|."""
    shape = (*sides, 3)
    mask = (np.random.default_rng(seed).uniform(size=(*sides, 1)) < 0.5).astype(np.float32)
    mask[0, 0], mask[-1, -1] = 0, 1
    options = {"known_share": share, "cutoff": cutoff, "seed": seed, "hole": share}
    operator = create_task(name, shape, mask=mask, **options).operator
    images = normal((2, *shape), seed)
    measured = operator.measure(images)
    values = normal(measured.shape, seed + 1)
    rounding = 1e-5 * float(tf.norm(images) * tf.norm(values))
    product = float(tf.reduce_sum(measured * values))
    adjoint_product = float(tf.reduce_sum(images * operator.adjoint(values)))
    assert product == pytest.approx(adjoint_product, abs=rounding)
    projected = operator.adjoint(measured)
    np.testing.assert_allclose(operator.measure(projected), measured, atol=2e-5)
    assert float(tf.norm(projected)) <= float(tf.norm(images)) * (1 + 1e-5)
    require_orthonormal_rows(operator, shape)


class Twice(LinearOperator):
    def measure(self, images):
        return 2 * images

    def adjoint(self, values):
        return 2 * values


class WrongAdjoint(LinearOperator):
    def measure(self, images):
        return images

    def adjoint(self, values):
        return tf.reverse(values, [1])


@pytest.mark.parametrize("wrong", [Twice, WrongAdjoint])
def test_operators_without_orthonormal_rows_are_refused(wrong):
    with pytest.raises(InvalidArgument, match=f"orthonormal rows.*{wrong.__name__}"):
        require_orthonormal_rows(wrong(), (4, 4, 1))


@pytest.mark.parametrize("name", [name for name in ALL if name != "compressive_sensing"])
def test_values_as_images_and_back(name):
    """The image that the values form, as a user has it in a file, gives the values."""
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    task = create_task(name, (8, 8, 3), mask=CHECKERS)
    values = task.operator.measure(tf.constant(images)).numpy()
    full = task.values_as_images(values, (8, 8, 3))
    assert full.shape == images.shape
    factors = [full.shape[i + 1] // task.measured_shape[i] for i in range(3)]
    small = full[:, :: factors[0], :: factors[1], :: factors[2]]
    assert small.shape[1:] == task.measured_shape
    np.testing.assert_allclose(task.values_from_images(small), values, atol=1e-5)
    assert full.min() > -0.3
    assert full.max() < 1.3


def test_values_as_images_are_block_means_and_gray_images():
    images = np.random.default_rng(0).uniform(size=(1, 4, 4, 3)).astype(np.float32)
    task = create_task("super_resolution_2", (4, 4, 3))
    shown = task.values_as_images(task.operator.measure(tf.constant(images)).numpy(), (4, 4, 3))
    np.testing.assert_allclose(
        shown[0, 2:, :2], np.broadcast_to(images[0, 2:, :2].mean((0, 1)), (2, 2, 3)), rtol=1e-5
    )
    task = create_task("colorize", (4, 4, 3))
    shown = task.values_as_images(task.operator.measure(tf.constant(images)).numpy(), (4, 4, 3))
    np.testing.assert_allclose(shown[..., 1], images.mean(-1), rtol=1e-5)


def test_restored_images_have_the_conditional_distribution():
    """The target is a Gaussian; block means are known without noise (sigma0 = 0)."""
    count, step_size, temperature = 8_000, 0.3, 0.04
    precision = (4.0 * np.eye(4) - 0.9).astype(np.float32)

    def energy_and_score(x):
        flat = tf.reshape(x - 0.5, [-1, 4])
        gradient = tf.matmul(flat, precision)
        return 0.5 * tf.reduce_sum(flat * gradient, 1), -tf.reshape(gradient, tf.shape(x))

    shape = (2, 2, 1)
    temperatures = np.full(150, temperature, np.float32)
    sampler = AnnealedLangevin(
        energy_and_score, None, isotropic_start(shape), temperatures, step_size, sigma0=0.0
    )
    operator = create_task("super_resolution_2", shape).operator
    values = tf.fill([count, 1, 1, 1], 1.6)
    known = KnownMeasurement(operator, values, tf.range(count, dtype=tf.int64))
    sampled = tf.function(lambda: sampler.sample_given(known), autograph=False)().numpy()
    np.testing.assert_allclose(operator.measure(sampled), values, atol=1e-5)
    flat = sampled.reshape(count, 4)
    # The mean is fixed; in all directions orthogonal to it the precision is 4.
    variance = temperature / (4.0 * (1 - step_size**2 * 4.0 / 4))
    expected = variance * (np.eye(4) - 0.25)
    errors = (np.cov(flat.T) - expected) / variance
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count)
    assert np.abs(flat.mean(0) - 0.8).max() < 5 * np.sqrt(variance / count)


def constant_images(x):
    """Energy and score if clean images are constant: D(x) is the mean of the pixels."""
    offset = x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * 0.1**2), -offset / 0.1**2


def ascent(sigma_start):
    start = isotropic_start((8, 8, 1), sigma_start)
    return CoarseToFine(
        constant_images, start, 0.1, growing_step_sizes(0.05, 100), 0.5, sigma_start, 0.01
    )


@pytest.mark.parametrize("name", ["inpaint_half", "super_resolution_2"])
def test_solve_restores_images_by_their_values(name):
    """Every solution agrees with the values, has the right gray, and follows from its seed."""
    originals = np.float32([0.2, 0.6, 0.8])[:, None, None, None] * np.ones((3, 8, 8, 1), np.float32)
    task = create_task(name, (8, 8, 1))
    values = task.operator.measure(tf.constant(originals)).numpy()
    restored = solve(ascent(1.0), task, values, num_solutions=2, seed=7, batch_size=4)
    assert restored.shape == (3, 2, 8, 8, 1)
    for solutions in restored.swapaxes(0, 1):
        np.testing.assert_allclose(task.operator.measure(tf.constant(solutions)), values, atol=1e-6)
        np.testing.assert_allclose(solutions, originals, atol=0.03)
    # Image 1 has the seeds 9 and 10.
    one = solve(ascent(1.0), task, values[1:2], num_solutions=2, seed=9, batch_size=9)
    np.testing.assert_allclose(one[0], restored[1], rtol=1e-4, atol=1e-5)
    # Block means determine a constant image; known pixels do not determine the others exactly.
    if name == "inpaint_half":
        assert np.abs(restored[:, 0] - restored[:, 1]).max() > 1e-4
        np.testing.assert_array_equal(restored[:, :, :4], np.stack([originals[:, :4]] * 2, 1))


def test_solve_refuses_denoising():
    task = create_task("denoise", (8, 8, 1))
    with pytest.raises(InvalidArgument, match=r"`task` must have an operator.*denoise"):
        solve(ascent(1.0), task, np.ones((1, 8, 8, 1)), num_solutions=1, seed=0, batch_size=1)


def test_denoise_blindly_starts_at_the_noisy_images():
    """The noise levels differ, and neither is that of the sampler's own start."""
    grays = np.float32([0.2, 0.7])[:, None, None, None]
    noise = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    noisy = (grays + np.array([0.1, 0.4])[:, None, None, None] * noise).astype(np.float32)
    denoised = denoise_blindly(ascent(30.0), noisy, num_solutions=2, seed=3)
    assert denoised.shape == (2, 2, 8, 8, 1)
    assert denoised.std(axis=(2, 3, 4)).max() < 1e-5
    errors = np.abs(denoised - grays[:, None]).max(axis=(1, 2, 3, 4))
    # The mean of 64 pixels with this noise, and the noise that the sampler adds.
    assert (errors < 5 * 2 * np.array([0.1, 0.4]) / 8).all()
    assert np.abs(denoised[:, 0] - denoised[:, 1]).max() > 1e-5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("inpaint_mask", {}),
        ("inpaint_mask", {"mask": np.ones((4, 4, 1))}),
        ("inpaint_mask", {"mask": np.full((8, 8, 1), 0.5)}),
        ("inpaint_mask", {"mask": np.ones((8, 8, 1))}),
        ("colorize", {}),
        ("sharpen", {}),
    ],
)
def test_tasks_that_do_not_fit_are_refused(name, options):
    with pytest.raises(InvalidArgument, match="must"):
        create_task(name, (8, 8, 1), **options)


def test_super_resolution_needs_a_divisible_size():
    assert "super_resolution_4" not in fitting_tasks((6, 6, 1), has_mask=False)
    with pytest.raises(InvalidArgument, match="fit images of 6 x 6"):
        create_task("super_resolution_4", (6, 6, 1))


def test_psnr_and_ssim():
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32) * 0.5
    np.testing.assert_allclose(quality.psnr(images, images + 0.1), 20, atol=1e-4)
    np.testing.assert_allclose(quality.ssim(images, images), 1)
    assert (quality.ssim(images, images[::-1]) < 0.5).all()


def test_baselines_are_better_than_the_measured_images():
    """Each of scikit-image's methods, on images of a bright rectangle."""
    images = np.zeros((4, 16, 16, 1), np.float32)
    for number, image in enumerate(images):
        image[3 : 11 + number, 4 : 13 - number] = 0.8
    for name in ("inpaint_box", "super_resolution_2", "deblur"):
        task = create_task(name, (16, 16, 1))
        values = task.operator.measure(tf.constant(images)).numpy()
        measured = task.values_as_images(values, (16, 16, 1))
        _, restored = baseline_solution(task, measured)
        gain = quality.psnr(images, restored) - quality.psnr(images, measured)
        assert gain.mean() > 0, name
    assert baseline_solution(create_task("compressive_sensing", (16, 16, 1)), images) is None
