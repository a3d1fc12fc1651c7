"""Values with arrays: equal by content, read-only, made from lists and refused where wrong."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.metropolis import HMC, MALA
from tf_mdsm.samplers.starts import GaussianStart, ImagesStart, IsotropicStart
from tf_mdsm.samplers.values import float_array, number, pixel_array, whole_number


@pytest.mark.parametrize(
    "sigmas",
    [[1.0, 0.5], (1, 0.5), np.array([1.0, 0.5]), np.float16([1, 0.5]), tf.constant([1.0, 0.5])],
)
def test_values_of_equal_content_are_equal(sigmas):
    method = Heun(sigmas)
    assert method.sigmas.dtype == np.float32
    assert {method: "found"}[Heun([1.0, 0.5])] == "found"
    for other in (Heun([1.0, 0.25]), Heun([1.0, 0.5], churn=1.0), Heun([1.0, 0.5, 0.2])):
        assert method != other
    assert method != Heun([1.0, 0.5], start=IsotropicStart(1.0))
    assert method != "Heun"
    assert MALA([1.0], [0.1]) != HMC([1.0], [0.1])


def test_a_start_of_ones_own_need_not_be_comparable():
    """A class with arrays, as a user would write it, has no hash."""

    @dataclasses.dataclass
    class Start:
        image: np.ndarray

        def noisy_images(self, seeds, image_shape):
            return tf.repeat(self.image[None], tf.size(seeds), 0)

    start = Start(np.zeros((2, 2, 1), np.float32))
    method = Heun([1.0, 0.5], start=start)
    assert method == Heun([1.0, 0.5], start=start)
    assert method != Heun([1.0, 0.5], start=Start(start.image))
    assert len({method, Heun([1.0, 0.5], start=start)}) == 1


def test_values_do_not_change():
    """Neither by the array that they were made from, nor by their own."""
    sigmas = np.float32([1.0, 0.5])
    method = Heun(sigmas)
    sigmas[0] = 7
    np.testing.assert_array_equal(method.sigmas, [1.0, 0.5])
    with pytest.raises(ValueError, match="read-only"):
        method.sigmas[0] = 7
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.churn = 1.0


IMAGES = np.zeros((2, 4, 4, 1))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Heun("high, low"), "sigmas"),
        (lambda: Heun([1.0, 0.5], churn=-1), "churn"),
        (lambda: Heun([1e39, 1.0]), "sigmas"),
        (lambda: AnnealedLangevin([1.0], step_size=0.0), "step_size"),
        (lambda: AnnealedLangevin([1.0], step_size="small"), "step_size"),
        (lambda: CoarseToFine(0.0, 0.1), "sigma_start"),
        (lambda: CoarseToFine(1.0, -0.1), "sigma_end"),
        (lambda: CoarseToFine(1.0, 0.1, beta=0.0), "beta"),
        (lambda: MALA([1.0], [0.1], moves=0), "moves"),
        (lambda: MALA([1.0], [0.1], moves=1.5), "moves"),
        (lambda: HMC([1.0], [0.1], leapfrog_steps=0), "leapfrog_steps"),
        (lambda: IsotropicStart(float("nan")), "sigma"),
        (lambda: ImagesStart(IMAGES, sigma=-1.0), "sigma"),
        (lambda: GaussianStart(IMAGES, IMAGES, [1.0, 1.0], 0.0, 1.0), "mean"),
        (lambda: GaussianStart(IMAGES[0], IMAGES, [1.0], 0.0, 1.0), "components"),
        (lambda: GaussianStart(IMAGES[0], IMAGES, [1.0, 1.0], -1.0, 1.0), "residual_variance"),
    ],
)
def test_wrong_values_are_refused_with_their_name(make, field):
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        make()


def test_numbers_are_kept_as_they_were_given():
    """A float32 stays one: samples of earlier versions were computed with it."""
    assert type(number("x", np.float32(0.1), "be positive", lambda x: x > 0)) is np.float32
    assert whole_number("x", np.int64(3)) == 3
    array = float_array("x", [[1, 2]], "be numbers")
    assert (array.shape, array.flags.writeable) == ((1, 2), False)


def test_whole_numbers_have_a_least_one():
    assert whole_number("x", 0, least=0) == 0
    for wrong, least in ((-1, 0), (1, 2), (2.0, 0)):
        with pytest.raises(
            InvalidArgument, match=f"`x` must be a whole number of at least {least}"
        ):
            whole_number("x", wrong, least)


def test_pixels_of_uint8_are_divided_by_255():
    """Other numbers are kept."""
    pixels = pixel_array("x", np.uint8([0, 51, 255]), "be pixels")
    np.testing.assert_array_equal(pixels, np.float32([0, 0.2, 1]))
    assert not pixels.flags.writeable
    np.testing.assert_array_equal(pixel_array("x", [0, 51.0, -1], "be pixels"), [0, 51, -1])
    for wrong in ([[1], [1, 2]], [np.nan], "gray"):
        with pytest.raises(InvalidArgument, match="`x` must be pixels"):
            pixel_array("x", wrong, "be pixels")
