"""The smoothest images that agree with known data: what is exact, and a dense solution."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import int_seeds
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import Downsampling
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownPixels
from tf_mdsm.samplers.smoothest import smoothest_images


def known_pixels(images: np.ndarray, mask: np.ndarray) -> KnownPixels:
    """Pixels of images [B, H, W, C] that a mask [H, W] names; the others are far off."""
    images = np.where(mask[..., None], images, -7.0).astype(np.float32)
    masks = np.broadcast_to(mask[..., None], (len(images), *mask.shape, 1)).astype(np.float32)
    return KnownPixels(tf.constant(images), tf.constant(masks), int_seeds(len(images)))


def gray(*shape: int) -> tf.Tensor:
    return tf.fill(shape, 0.5)


def hole(side: int, width: int) -> np.ndarray:
    """All pixels but a square in the middle are known, bool [side, side]."""
    mask = np.ones((side, side), bool)
    first = (side - width) // 2
    mask[first : first + width, first : first + width] = False
    return mask


def matrix(height: int, width: int) -> np.ndarray:
    """Of the quadratic form, over the pixels: the Laplacian of a graph, squared, and itself."""

    def of_path(size):
        differences = np.diff(np.eye(size), axis=0)
        return differences.T @ differences

    laplacian = np.kron(of_path(height), np.eye(width)) + np.kron(np.eye(height), of_path(width))
    return laplacian @ laplacian + laplacian / 16**2


@pytest.mark.parametrize("width", [12, 64])
def test_constants_and_ramps_are_continued(width):
    """Also across a large hole, far from the gray where the search begins."""
    side = width + 8
    rows, columns = np.mgrid[:side, :side] / side
    images = np.stack([np.full((side, side), 0.9), 0.2 + 0.3 * rows + 0.4 * columns])[..., None]
    found = smoothest_images(known_pixels(images, hole(side, width)), gray(2, side, side, 1))
    np.testing.assert_allclose(found, images, atol=2e-3)


def test_the_edge_of_an_image_is_free():
    """A constant is continued over it."""
    mask = np.ones((16, 24), bool)
    mask[:, 12:] = False
    images = np.full((1, 16, 24, 3), 0.1)
    found = smoothest_images(known_pixels(images, mask), gray(1, 16, 24, 3))
    np.testing.assert_allclose(found, images, atol=1e-3)


def test_missing_pixels_solve_the_dense_equations():
    random = np.random.default_rng(0)
    mask, images = random.random((9, 13)) < 0.4, random.random((2, 9, 13, 2))
    found = smoothest_images(known_pixels(images, mask), gray(2, 9, 13, 2)).numpy()
    np.testing.assert_array_equal(found[:, mask], images.astype(np.float32)[:, mask])
    form, known = matrix(9, 13), mask.ravel()
    values = images.transpose(1, 2, 0, 3).reshape(9 * 13, -1)
    free = np.linalg.solve(
        form[np.ix_(~known, ~known)], -form[np.ix_(~known, known)] @ values[known]
    )
    expected = free.reshape(-1, 2, 2).transpose(1, 0, 2)
    np.testing.assert_allclose(found[:, ~mask], expected, atol=2e-3)


def test_means_of_blocks_are_kept_and_the_rest_solves_the_dense_equations():
    operator, shape = Downsampling(2), (1, 6, 8, 1)
    values = operator.measure(np.random.default_rng(1).random(shape).astype(np.float32))
    found = smoothest_images(KnownMeasurement(operator, values, int_seeds(1)), gray(*shape))
    np.testing.assert_allclose(operator.measure(found), values, atol=1e-5)
    size = 6 * 8
    rows = operator.measure(np.eye(size, dtype=np.float32).reshape(size, 6, 8, 1))
    rows = rows.numpy().reshape(size, -1).T
    zeros = np.zeros((len(rows), len(rows)))
    system = np.block([[matrix(6, 8), rows.T], [rows, zeros]])
    right = np.append(np.zeros(size), values)
    expected = np.linalg.solve(system, right)[:size].reshape(shape)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_without_known_data_a_constant_stays():
    images = gray(2, 7, 5, 3)
    np.testing.assert_array_equal(smoothest_images(NOTHING_KNOWN, images), images)


def test_an_image_depends_on_its_own_data_only():
    """Also if another one of the batch takes longer, or nothing is to be found."""
    random = np.random.default_rng(2)
    images = random.random((3, 20, 20, 1))
    images[2] = 0.5
    masks = np.stack([random.random((20, 20)) < 0.9, hole(20, 14), np.zeros((20, 20), bool)])
    known = KnownPixels(
        tf.constant(images, tf.float32), tf.constant(masks[..., None], tf.float32), int_seeds(3)
    )
    together = smoothest_images(known, gray(3, 20, 20, 1))
    for i in range(3):
        alone = smoothest_images(known_pixels(images[i : i + 1], masks[i]), gray(1, 20, 20, 1))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-6)
    np.testing.assert_array_equal(together[2], gray(20, 20, 1))
