"""Restoration tasks: their operators and masks, and values as images and back."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.operators import Downsampling, Grayscale, LowPass, RandomProjections
from tf_mdsm.restoration.tasks import create_task, fitting_tasks

CHECKERS = np.indices((8, 8)).sum(0)[..., None] % 2
ALL = [
    "inpaint_box",
    "inpaint_half",
    "inpaint_random",
    "inpaint_mask",
    "super_resolution_2",
    "super_resolution_4",
    "deblur",
    "compressive_sensing",
    "denoise",
    "colorize",
]


def measure(task, images):
    return task.operator.measure(tf.constant(images)).numpy()


def uniform(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def test_all_tasks_fit_color_images_with_a_mask():
    assert fitting_tasks((8, 8, 3), has_mask=True) == ALL
    for name in ALL:
        assert create_task(name, (8, 8, 3), mask=CHECKERS).name == name


def test_tasks_that_do_not_fit_are_left_out():
    left_out = {
        ((8, 8, 1), True): {"colorize"},
        ((8, 8, 3), False): {"inpaint_mask"},
        ((8, 6, 3), True): {"super_resolution_4"},
        ((8, 7, 3), True): {"super_resolution_2", "super_resolution_4"},
        ((64, 64, 3), True): {"compressive_sensing"},
    }
    for (shape, has_mask), names in left_out.items():
        assert set(ALL) - set(fitting_tasks(shape, has_mask)) == names


def test_operators_of_tasks():
    kinds = {
        "super_resolution_2": Downsampling,
        "super_resolution_4": Downsampling,
        "deblur": LowPass,
        "compressive_sensing": RandomProjections,
        "colorize": Grayscale,
    }
    for name, kind in kinds.items():
        task = create_task(name, (8, 8, 3))
        assert type(task.operator) is kind
        assert task.mask is None
    assert create_task("super_resolution_4", (8, 8, 3)).measured_shape == (2, 2, 3)
    assert create_task("denoise", (8, 8, 3)).operator is None


@pytest.mark.parametrize(
    ("shape", "hole", "box"),
    [
        ((8, 8, 1), 0.5, (slice(2, 6), slice(2, 6))),
        ((8, 12, 1), 0.5, (slice(2, 6), slice(3, 9))),
        ((8, 8, 1), 0.01, (slice(3, 4), slice(3, 4))),
        ((8, 8, 1), 0.99, (slice(0, 7), slice(0, 7))),
    ],
)
def test_a_box_in_the_middle_is_missing(shape, hole, box):
    expected = np.ones((*shape[:2], 1))
    expected[box] = 0
    np.testing.assert_array_equal(create_task("inpaint_box", shape, hole=hole).mask, expected)


def test_the_upper_half_and_a_given_mask_are_known():
    upper = create_task("inpaint_half", (8, 6, 1)).mask
    np.testing.assert_array_equal(upper[..., 0], [[1.0] * 6] * 4 + [[0.0] * 6] * 4)
    given = create_task("inpaint_mask", (8, 8, 1), mask=CHECKERS).mask
    np.testing.assert_array_equal(given, CHECKERS)


@pytest.mark.parametrize(("share", "count"), [(0.25, 24), (0.001, 1), (0.999, 95)])
def test_a_share_of_the_pixels_is_known(share, count):
    """At random positions, which follow from the seed."""
    masks = [
        create_task("inpaint_random", (8, 12, 1), known_share=share, seed=seed).mask
        for seed in (0, 0, 2)
    ]
    assert masks[0].sum() == count
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_a_share_of_the_directions_is_known():
    images = uniform(1, 8, 8, 3)
    for share, count in ((0.25, 48), (0.001, 1)):
        task = create_task("compressive_sensing", (8, 8, 3), known_share=share)
        assert measure(task, images).shape == (1, count)


def test_the_cutoff_of_deblurring():
    """Of a wave of 0.25 cycles per pixel."""
    wave = np.cos(np.pi / 2 * np.arange(8, dtype=np.float32))[None, :, None, None]
    images = np.broadcast_to(wave, (1, 8, 8, 1))
    for cutoff, share in ((0.26, 1), (0.24, 0)):
        task = create_task("deblur", (8, 8, 1), cutoff=cutoff)
        np.testing.assert_allclose(measure(task, images), share * images, atol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("compressive_sensing", "denoise")]
)
def test_values_as_images_and_back(name):
    """The image that the values form, as a user has it in a file, gives the values."""
    images = uniform(2, 8, 8, 3)
    task = create_task(name, (8, 8, 3), mask=CHECKERS)
    values = measure(task, images)
    full = task.values_as_images(values, (8, 8, 3))
    assert full.shape == images.shape
    factors = [full.shape[i + 1] // task.measured_shape[i] for i in range(3)]
    small = full[:, :: factors[0], :: factors[1], :: factors[2]]
    assert small.shape[1:] == task.measured_shape
    np.testing.assert_allclose(task.values_from_images(small), values, atol=1e-5)
    assert full.min() > -0.3
    assert full.max() < 1.3


@pytest.mark.parametrize("name", ["inpaint_half", "deblur"])
def test_what_is_not_measured_in_a_file_is_no_part_of_the_values(name):
    task, images = create_task(name, (8, 8, 3)), uniform(2, 8, 8, 3)
    np.testing.assert_allclose(task.values_from_images(images), measure(task, images), atol=1e-6)


def test_values_as_images_are_block_means_and_gray_images():
    images = uniform(1, 4, 4, 3)
    task = create_task("super_resolution_2", (4, 4, 3))
    shown = task.values_as_images(measure(task, images), (4, 4, 3))
    mean = images[0, 2:, :2].mean((0, 1))
    np.testing.assert_allclose(shown[0, 2:, :2], np.broadcast_to(mean, (2, 2, 3)), rtol=1e-5)
    task = create_task("colorize", (4, 4, 3))
    shown = task.values_as_images(measure(task, images), (4, 4, 3))
    np.testing.assert_allclose(shown[..., 1], images.mean(-1), rtol=1e-5)


def test_values_that_form_no_image_are_shown_by_the_adjoint():
    task = create_task("compressive_sensing", (4, 4, 1))
    values = measure(task, uniform(2, 4, 4, 1))
    shown = task.values_as_images(values, (4, 4, 1))
    np.testing.assert_array_equal(shown, task.operator.adjoint(tf.constant(values)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("inpaint_mask", {}, "`mask` must be given"),
        ("inpaint_mask", {"mask": np.ones((4, 4, 1))}, r"size, 8 x 8\. Received: \[4, 4, 1\]"),
        ("inpaint_mask", {"mask": np.full((8, 8, 1), 0.5)}, r"`mask` must contain 1 .*and 0"),
        ("inpaint_mask", {"mask": np.ones((8, 8, 1))}, r"`mask` must contain 1 .*and 0"),
        ("inpaint_mask", {"mask": np.zeros((8, 8, 1))}, r"`mask` must contain 1 .*and 0"),
        ("colorize", {}, "the images are gray"),
        ("sharpen", {}, "`task` must be one of inpaint_box, .*sharpen"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(InvalidArgument, match=message):
        create_task(name, (8, 8, 1), **options)


@pytest.mark.parametrize("shape", [(6, 8, 1), (8, 6, 1)])
def test_super_resolution_needs_a_divisible_size(shape):
    with pytest.raises(InvalidArgument, match=f"fit images of {shape[0]} x {shape[1]}"):
        create_task("super_resolution_4", shape)


def test_without_a_denoiser_nothing_is_denoised():
    names = fitting_tasks((8, 8, 1), has_mask=False)
    left = fitting_tasks((8, 8, 1), has_mask=False, has_denoiser=False)
    assert set(names) - set(left) == {"denoise"}
