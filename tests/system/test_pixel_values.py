"""Which numbers are pixels."""

import numpy as np
import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.pixel_values import PixelCheck, as_pixels, require_noisy_pixels, to_bytes


def checked(*arrays):
    check = PixelCheck("images")
    for array in arrays:
        check.add(array)
    check.finish()


@pytest.mark.parametrize(
    "largest",
    [
        np.uint8(0),  # A black image.
        np.uint8(32),
        np.uint8(255),
        np.uint16(16_384),
        np.float32(1e-3),  # Floats say what is white, however dark they are.
        np.float32(1 + 1e-7),
        np.float64(1 + 1e-7),
    ],
)
def test_pixels(largest):
    checked(np.array([0, 0, largest], largest.dtype))


@pytest.mark.parametrize(
    ("largest", "message"),
    [
        (np.uint8(1), r"uint8 of which 255 is white .* no value above 1$"),
        (np.uint8(16), "no value above 16$"),
        (np.uint8(31), "no value above 31$"),
        (np.uint16(255), r"uint16 of which 65535 is white .* no value above 255$"),
        (np.uint16(4_095), "no value above 4095$"),
        (np.uint16(16_383), "no value above 16383$"),
        (np.float32(255), r"pixels in \[0, 1\]\. Received: \[0, 255\]$"),
        (np.float32(1 + 1e-5), r"Received: \[0, 1\.00001\d*\]$"),
        (np.float64("nan"), r"Received: \[nan, nan\]$"),
        (np.float32("inf"), r"Received: \[0, inf\]$"),
    ],
)
def test_other_numbers_are_refused(largest, message):
    with pytest.raises(InvalidArgument, match=message):
        checked(np.array([0, 0, largest], largest.dtype))


def test_negative_floats_are_refused_but_for_rounding():
    checked(np.float32([-1e-7, 0.5]))
    with pytest.raises(InvalidArgument, match=r"\[-1, 0\.5\]"):
        checked(np.float32([-1, 0.5]))


def test_the_whole_set_decides_on_integers():
    """One dark image of a film is right; each dtype is asked by itself."""
    checked(np.uint8([1, 2]), np.uint8([200]), np.uint8([3]))
    with pytest.raises(InvalidArgument, match="uint16"):
        checked(np.uint8([200]), np.uint16([4_095]))


def test_the_file_is_named():
    with pytest.raises(InvalidArgument, match=r"Received: a\.npy, \[0, 9\]"):
        PixelCheck("images").add(np.float32([0, 9]), "a.npy")


def test_dtypes_that_say_no_white_are_refused():
    check = PixelCheck("images")
    for dtype in (np.uint8, np.float16, np.float32, np.dtype(">f8")):
        check.require_dtype(dtype)
    for dtype in (bool, np.int8, np.uint16, np.int64, complex, "U5", object):
        with pytest.raises(InvalidArgument, match=f"pixels of uint8, or .*{np.dtype(dtype)}"):
            check.require_dtype(dtype)


def test_noise_carries_pixels_anywhere():
    generator = np.random.default_rng(0)
    clean = generator.uniform(size=(4, 8, 8, 1))
    for sigma in (0.0, 0.01, 1.0, 100.0):
        require_noisy_pixels(clean + sigma * generator.standard_normal(clean.shape), "images")
    require_noisy_pixels(np.float32([5, 3]).reshape(1, 1, 1, 2), "images")
    require_noisy_pixels(np.zeros((0, 8, 8, 1)), "images")


@pytest.mark.parametrize("scaled", [lambda x: 255 * x, lambda x: 2 * x - 1, lambda x: 65_535 * x])
def test_pixels_of_other_scales_are_no_noisy_pixels(scaled):
    images = scaled(np.linspace(0, 1, 64)).reshape(1, 8, 8, 1)
    with pytest.raises(InvalidArgument, match=r"0 is black and 1 is white.*a\.npy, \["):
        require_noisy_pixels(images, "images", "a.npy")


def test_sixteen_bits_become_eight():
    every = np.arange(65_536, dtype=np.uint16)
    np.testing.assert_array_equal(to_bytes(every), every // 257)
    assert to_bytes(every).dtype == np.uint8
    unchanged = np.arange(256, dtype=np.uint8)
    assert to_bytes(unchanged) is unchanged


def test_rounding_is_cut_off():
    """Images that are right already are not copied."""
    values = np.array([-1e-7, 0.5, 1 + 1e-6])
    np.testing.assert_array_equal(as_pixels(values), np.float32([0, 0.5, 1]))
    assert as_pixels(values).dtype == np.float32
    for right in (np.array([0, 255], np.uint8), np.float32([0, 1]), np.float32([])):
        assert as_pixels(right) is right
