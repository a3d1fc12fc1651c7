"""Checks of a request before it is sent: what passes, what is refused, and why a client checks."""

import threading

import numpy as np
import pytest

from tests.helpers.served_inputs import SHAPE, upper_half_known
from tf_mdsm.serving import InvalidArgument, ServingError
from tf_mdsm.serving.request_checks import (
    checked_images,
    checked_mask,
    checked_seeds,
    require_known_in_range,
)


def test_valid_seeds_are_kept_exactly():
    """Converted to floats, 2^53 and 2^53 + 1 would be equal."""
    seeds = checked_seeds(np.array([0, 2**53 + 1, 2**62], np.uint64))
    assert seeds.dtype == np.int64
    assert seeds.tolist() == [0, 2**53 + 1, 2**62]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], "at least one. Received: shape .0."),
        ([-1], r"`seeds` must be integers in \[0, 2\^62\]. Received: -1"),
        ([0, 2**63 - 1], "Received: 9223372036854775807"),
        ([2**62 + 1], "Received: 4611686018427387905"),
        ([2**70], "be integers"),
        ([[0], [1, 2]], "`seeds` must be one array. Received: lists of different lengths"),
        ([0.5] * 6, "be integers .* Received: 0.5, 0.5, 0.5, 0.5, 0.5, …"),
        ([True], "be integers .* Received: True$"),
        (["0"], "be integers"),
        ([[0]], r"one integer per image.* Received: shape \[1, 1\]"),
        (3, "one integer per image.* Received: 3"),
    ],
)
def test_invalid_seeds_are_refused(seeds, message):
    with pytest.raises(InvalidArgument, match=message):
        checked_seeds(seeds)


def test_valid_images_become_float32():
    images = np.full((2, *SHAPE), -1.5)
    checked = checked_images(images, SHAPE)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, *SHAPE)), r"`images` must be of shape \[B, 8, 8, 1\], B >= 1"),
        (np.zeros((1, 9, 8, 1)), r"of shape .* Received: \[1, 9, 8, 1\]"),
        (np.zeros(SHAPE), "of shape"),
        (np.stack([np.zeros(SHAPE), np.full(SHAPE, np.nan)]), "be finite. Received: image 1"),
        (np.full((2, *SHAPE), np.inf), "be finite"),
        (np.full((2, *SHAPE), 1e300), "be finite"),
        (np.zeros((1, *SHAPE), np.uint8), "be floats"),
        (np.zeros((1, *SHAPE), complex), "be floats"),
        ([[1.0], [1.0, 2.0]], "`images` must be one array. Received: lists of different lengths"),
    ],
)
def test_invalid_images_are_refused(images, message):
    with pytest.raises(InvalidArgument, match=message):
        checked_images(images, SHAPE)


@pytest.mark.parametrize("dtype", [bool, np.uint8, float])
def test_a_valid_mask_becomes_float32(dtype):
    mask = upper_half_known(2)
    checked = checked_mask(mask.astype(dtype), np.zeros((2, 8, 8, 3)))
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (upper_half_known(2) * 0.5, "`mask` must be 1 .known. or 0 everywhere. Received: 0.0, 0.5"),
        (upper_half_known(1), r"`mask` must be of shape \[2, 8, 8, 1\]. Received: \[1, 8, 8, 1\]"),
        (upper_half_known(2) * np.nan, "`mask` must be 1"),
        (upper_half_known(2).astype(str), "`mask` must be 1"),
        ([[1], [1, 0]], "`mask` must be one array. Received: lists of different lengths"),
        (np.arange(128).reshape(2, *SHAPE), "Received: 0, 1, 2, 3, 4, …"),
    ],
)
def test_invalid_masks_are_refused(mask, message):
    with pytest.raises(InvalidArgument, match=message):
        checked_mask(mask, np.zeros((2, *SHAPE)))


def test_known_pixels_must_lie_between_0_and_1():
    mask = upper_half_known(2)
    # Unknown pixels may be any finite numbers.
    require_known_in_range(np.where(mask == 1, 1.0, -3.0), mask)
    for value in (-0.25, 1.25):
        message = rf"`images` must lie in \[0, 1\] where they are known. Received: {value}"
        with pytest.raises(InvalidArgument, match=message):
            require_known_in_range(np.full((2, *SHAPE), value), mask)


def test_an_invalid_request_fails_the_requests_it_is_merged_with(server):
    """This is why a client checks requests before it sends them."""
    failures, start = [], threading.Barrier(8)

    def ask(value):
        (client, _) = server.clients()
        images = np.full((1, *SHAPE), value, np.float32)
        start.wait()
        for _ in range(10):
            try:
                client._transport.predict("energy", {"images": images}, ("energy",))
            except ServingError as error:
                failures.append((value, str(error)))

    values = [np.nan] + [0.5] * 7
    threads = [threading.Thread(target=ask, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(np.isnan(value) for value, _ in failures) == 10
    assert len(failures) > 10
    assert all("`images` must be finite" in message for _, message in failures)


def test_images_of_any_size():
    images = np.zeros((2, 3, 5, 1))
    assert checked_images(images, (None, None, 1)).shape == images.shape
    with pytest.raises(InvalidArgument, match=r"be of shape \[B, H, W, 3\]"):
        checked_images(images, (None, None, 3))
    with pytest.raises(InvalidArgument, match=r"be of shape \[B, H, W, 1\]"):
        checked_images(images[:, :0], (None, None, 1))
