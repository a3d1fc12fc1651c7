"""Linear operators: their closed forms, adjoints and pseudoinverses."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.operators import (
    Downsampling,
    Grayscale,
    Inpainting,
    LinearOperator,
    LowPass,
    RandomProjections,
    require_orthonormal_rows,
)


def normal(shape, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), tf.float32)


OPERATORS = {
    "inpainting": lambda shape, share, seed: Inpainting(
        np.random.default_rng(seed).uniform(size=(*shape[:2], 1)) < share
    ),
    "downsampling by 2": lambda shape, share, seed: Downsampling(2),
    "downsampling by 4": lambda shape, share, seed: Downsampling(4),
    "low pass": lambda shape, share, seed: LowPass(shape, 0.7 * share),
    "projections": lambda shape, share, seed: RandomProjections(
        shape, max(1, round(share * np.prod(shape))), seed
    ),
    "grayscale": lambda shape, share, seed: Grayscale(3),
}


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=8, deadline=None)
@given(
    sides=st.tuples(*[st.sampled_from([4, 8, 12])] * 2),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32),
)
def test_adjoint_and_pseudoinverse(name, sides, share, seed):
    """<A x, y> = <x, A'y>, A A' A x = A x, and |A'A x| <= |x|."""
    shape = (*sides, 3)
    operator = OPERATORS[name](shape, share, seed)
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


def test_inpainting_keeps_the_pixels_of_the_mask():
    images, mask = normal((2, 4, 4, 3)), np.zeros((4, 4, 1))
    mask[1, 2] = 1
    measured = Inpainting(mask).measure(images).numpy()
    np.testing.assert_array_equal(measured[:, 1, 2], images[:, 1, 2])
    assert np.count_nonzero(measured) == 2 * 3


@pytest.mark.parametrize("factor", [2, 4])
def test_downsampling_measures_means_of_blocks(factor):
    images = normal((2, 8, 4, 3)).numpy()
    blocks = images.reshape(2, 8 // factor, factor, 4 // factor, factor, 3)
    measured = Downsampling(factor).measure(tf.constant(images))
    np.testing.assert_allclose(measured, factor * blocks.mean((2, 4)), atol=1e-5)


@pytest.mark.parametrize(
    ("cycles", "is_kept"), [((0, 0), True), ((2, 0), True), ((0, 2), True), ((2, 2), False)]
)
def test_low_pass_keeps_waves_up_to_its_cutoff(cycles, is_kept):
    """In 8 x 12 pixels: 2 waves down are 0.25 cycles per pixel, and 2 across are 0.167."""
    rows, columns = np.indices((8, 12))
    wave = np.cos(2 * np.pi * (cycles[0] * rows / 8 + cycles[1] * columns / 12))
    images = wave[None, ..., None].astype(np.float32)
    measured = LowPass((8, 12, 1), 0.26).measure(tf.constant(images))
    np.testing.assert_allclose(measured, images * is_kept, atol=1e-5)


def test_projections_follow_from_their_seed():
    images = normal((2, 4, 4, 1))
    measured = [RandomProjections((4, 4, 1), 5, seed).measure(images) for seed in (1, 1, 2)]
    first, again, other = measured
    assert first.shape == (2, 5)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((64, 65, 1), 3, "hold at most 4096 values"),
        ((4, 4, 1), 0, "`count` must be a whole number of at least 1"),
        ((4, 4, 1), 3.5, "`count` must be a whole number of at least 1"),
        ((4, 4, 1), 17, r"lie in \[1, 16\]"),
    ],
)
def test_projections_that_cannot_be_are_refused(shape, count, message):
    with pytest.raises(InvalidArgument, match=message):
        RandomProjections(shape, count, seed=0)


def test_grayscale_averages_channels():
    images = normal((2, 4, 4, 3))
    measured = Grayscale(3).measure(images)
    np.testing.assert_allclose(measured[..., 0], 3**0.5 * images.numpy().mean(-1), atol=1e-5)


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


@pytest.mark.parametrize("mask", [np.eye(4), np.eye(4)[..., None], np.eye(4) == 1])
def test_a_mask_may_be_flat_or_of_truth_values(mask):
    assert Inpainting(mask).mask.shape == (4, 4, 1)
    np.testing.assert_array_equal(Inpainting(mask).mask[..., 0], np.eye(4))


@pytest.mark.parametrize("wrong", [np.eye(4)[None], np.ones((4, 4, 3)), np.eye(4) / 2, np.ones(4)])
def test_wrong_masks_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`mask` must be"):
        Inpainting(wrong)


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(np.eye(4)),
        Downsampling(2),
        LowPass((4, 4, 3), 0.3),
        RandomProjections((4, 4, 3), 5, 0),
        Grayscale(),
    ],
)
def test_photos_of_any_dtype_are_measured(operator):
    """uint8 is divided by 255; float64 is taken as it is."""
    photos = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    expected = operator.measure(tf.constant(photos / 255, tf.float32))
    np.testing.assert_allclose(operator.measure(photos), expected, atol=1e-6)
    np.testing.assert_allclose(operator.measure(photos / 255), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Downsampling(0), "factor"),
        (lambda: Downsampling(2.0), "factor"),
        (lambda: LowPass((4, 4, 1), float("nan")), "cutoff"),
        (lambda: LowPass((4, 4, 1), -0.1), "cutoff"),
        (lambda: Grayscale(0), "channels"),
    ],
)
def test_operators_of_wrong_numbers_are_refused(make, field):
    with pytest.raises(InvalidArgument, match=f"`{field}` must be"):
        make()


@pytest.mark.parametrize(
    ("operator", "shape", "message"),
    [
        (Downsampling(2), (33, 34, 1), "have sides that 2 divides. Received: 33 x 34"),
        (Downsampling(16), (8, 8, 1), "have sides that 16 divides. Received: 8 x 8"),
        (Inpainting(np.eye(4)), (8, 8, 1), r"have the shape \[B, 4, 4, C\]"),
        (Inpainting(np.ones((1, 4))), (4, 4, 1), r"have the shape \[B, 1, 4, C\]"),
        (LowPass((4, 4, 1), 0.3), (8, 4, 1), r"have the shape \[B, 4, 4, C\]"),
        (RandomProjections((4, 4, 1), 5, 0), (8, 8, 1), r"have the shape \[B, 4, 4, 1\]"),
        (Grayscale(), (4, 4, 1), r"have the shape \[B, H, W, 3\]"),
    ],
)
def test_images_of_a_shape_that_does_not_fit_are_refused(operator, shape, message):
    """They are not cut, repeated, or mixed with each other."""
    with pytest.raises(InvalidArgument, match=f"`images` must {message}"):
        operator.measure(np.zeros((2, *shape), np.float32))


def test_images_of_a_size_that_is_not_known_yet_are_measured():
    """In a graph for images of any size."""
    images = normal((2, 4, 8, 3))
    for operator in (Downsampling(2), Inpainting(np.ones((4, 8))), LowPass((4, 8, 3), 0.3)):
        measure = tf.function(
            operator.measure, [tf.TensorSpec([None, None, None, 3])], autograph=False
        )
        np.testing.assert_allclose(measure(images), operator.measure(images), atol=1e-6)


@pytest.mark.parametrize("wrong", [np.full((2, 4, 4, 3), 200), np.zeros((4, 4, 3), np.uint8)])
def test_photos_of_other_integers_or_without_a_batch_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`images` must"):
        Grayscale().measure(wrong)
