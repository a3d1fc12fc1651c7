"""Restoration tasks by name: inpainting, super-resolution, deblurring, denoising, and others."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.operators import (
    MAX_PROJECTED_SIZE,
    Downsampling,
    Grayscale,
    Inpainting,
    LinearOperator,
    LowPass,
    RandomProjections,
)

__all__ = ["Task", "create_task", "fitting_tasks"]


@dataclasses.dataclass(frozen=True)
class Task:
    """A restoration task: a linear operator, and how its values correspond to images.

    Attributes:
        name: name of the task, as in `create_task`.
        operator: operator whose values are known; None: the task is denoising, and the values are
            the noisy images.
        mask: mask of the known pixels, [H, W, 1], if the task is inpainting; else None.
        measured_shape: height, width, channels of the image that the values form: smaller than the
            original in super-resolution, gray in colorization. None: the values form no image.
        value_scale: values divided by the pixels of this image.
    """

    name: str
    operator: LinearOperator | None
    mask: np.ndarray | None
    measured_shape: tuple[int, int, int] | None
    value_scale: float = 1.0

    def values_as_images(self, values: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
        """Shows values as images of full size.

        Args:
            values: [N, …].
            image_shape: height, width, channels of full size.

        Returns:
            images [N, H, W, C]: the image that the values form, with repeated pixels and channels;
            where they form no image, A'y.
        """
        if self.measured_shape is None:
            assert self.operator is not None  # noisy images form an image
            return self.operator.adjoint(tf.constant(values)).numpy()
        images = values / self.value_scale
        height, width, channels = (
            full // measured
            for full, measured in zip(image_shape, self.measured_shape, strict=True)
        )
        return images.repeat(height, axis=1).repeat(width, axis=2).repeat(channels, axis=3)

    def values_from_images(self, images: np.ndarray) -> np.ndarray:
        """Values, float32 [N, …], of measured images of shape `measured_shape`."""
        values = (images * self.value_scale).astype(np.float32)
        # Unknown pixels and high frequencies of a file are not part of the values.
        if isinstance(self.operator, Inpainting | LowPass):
            values = self.operator.measure(tf.constant(values)).numpy()
        return values


def create_task(
    name: str,
    image_shape: tuple[int, int, int],
    *,
    hole: float = 0.5,
    known_share: float = 0.25,
    cutoff: float = 0.15,
    mask: np.ndarray | None = None,
    seed: int = 0,
) -> Task:
    """Creates the task of a name for images of a shape.

    Args:
        name: "inpaint_box", "inpaint_half", "inpaint_random", "inpaint_mask",
            "super_resolution_2", "super_resolution_4", "deblur", "compressive_sensing",
            "denoise" or "colorize".
        image_shape: height, width, channels.
        hole: inpaint_box: side of the missing box in the middle, as a fraction of the image's
            side.
        known_share: inpaint_random: fraction of the pixels that are known; compressive_sensing:
            number of directions as a fraction of the number of values in an image.
        cutoff: deblur: highest known frequency, in cycles per pixel.
        mask: inpaint_mask: 1 where a pixel is known, else 0, [H, W, 1].
        seed: inpaint_random and compressive_sensing: seed of the random pixels or directions.

    Raises:
        InvalidArgument: for an unknown name, or a task that does not fit such images.
    """

    def inpainting(known: np.ndarray | None) -> Task:
        return _inpainting(name, known, image_shape)

    builders: dict[str, Callable[[], Task]] = {
        "inpaint_box": lambda: inpainting(_outside_box(image_shape, hole)),
        "inpaint_half": lambda: inpainting(_upper_half(image_shape)),
        "inpaint_random": lambda: inpainting(_random_pixels(image_shape, known_share, seed)),
        "inpaint_mask": lambda: inpainting(mask),
        "super_resolution_2": lambda: _super_resolution(name, 2, image_shape),
        "super_resolution_4": lambda: _super_resolution(name, 4, image_shape),
        "deblur": lambda: Task(name, LowPass(image_shape, cutoff), None, image_shape),
        "compressive_sensing": lambda: _compressive_sensing(name, image_shape, known_share, seed),
        "denoise": lambda: Task(name, None, None, image_shape),
        "colorize": lambda: _colorization(name, image_shape),
    }
    if name not in builders:
        raise InvalidArgument("task", f"be one of {', '.join(builders)}", name)
    return builders[name]()


def fitting_tasks(
    image_shape: tuple[int, int, int], has_mask: bool, has_denoiser: bool = True
) -> list[str]:
    """Names of all tasks that fit images of a shape.

    Args:
        image_shape: height, width, channels.
        has_mask: whether there is a mask for "inpaint_mask".
        has_denoiser: whether D(x) is a blind denoiser, for "denoise".
    """
    height, width, channels = image_shape
    fits = {
        "inpaint_box": True,
        "inpaint_half": True,
        "inpaint_random": True,
        "inpaint_mask": has_mask,
        "super_resolution_2": not (height % 2 or width % 2),
        "super_resolution_4": not (height % 4 or width % 4),
        "deblur": True,
        "compressive_sensing": height * width * channels <= MAX_PROJECTED_SIZE,
        "denoise": has_denoiser,
        "colorize": channels == 3,
    }
    return [name for name, is_fitting in fits.items() if is_fitting]


def _inpainting(name: str, mask: np.ndarray | None, image_shape: tuple[int, int, int]) -> Task:
    """Task of inpainting the pixels that are 0 in a mask; checks the mask."""
    if mask is None:
        raise InvalidArgument("mask", "be given for inpaint_mask", "nothing")
    if mask.shape != (*image_shape[:2], 1):
        size = f"{image_shape[0]} x {image_shape[1]}"
        raise InvalidArgument("mask", f"be of the images' size, {size}", list(mask.shape))
    if not np.isin(mask, (0, 1)).all() or mask.all() or not mask.any():
        both_values = "contain 1 (known) and 0 (unknown), both, and nothing else"
        raise InvalidArgument("mask", both_values, f"values {np.unique(mask)[:4]}")
    mask = mask.astype(np.float32)
    return Task(name, Inpainting(mask), mask, image_shape)


def _outside_box(image_shape: tuple[int, int, int], hole: float) -> np.ndarray:
    """Mask of the pixels outside a box in the middle, [H, W, 1]."""
    mask = np.ones((*image_shape[:2], 1), np.float32)
    sides = [min(max(1, round(hole * size)), size - 1) for size in image_shape[:2]]
    top, left = ((size - side) // 2 for size, side in zip(image_shape, sides, strict=False))
    mask[top : top + sides[0], left : left + sides[1]] = 0
    return mask


def _upper_half(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Mask of the pixels in the upper half, [H, W, 1]."""
    mask = np.zeros((*image_shape[:2], 1), np.float32)
    mask[: image_shape[0] // 2] = 1
    return mask


def _random_pixels(image_shape: tuple[int, int, int], known_share: float, seed: int) -> np.ndarray:
    """Mask of a fraction of the pixels, at random positions, [H, W, 1]."""
    count = image_shape[0] * image_shape[1]
    order = np.random.default_rng(seed).permutation(count)
    is_known = order < np.clip(round(known_share * count), 1, count - 1)
    return is_known.reshape(*image_shape[:2], 1).astype(np.float32)


def _super_resolution(name: str, factor: int, image_shape: tuple[int, int, int]) -> Task:
    """Task of restoring images from the means of their blocks of factor x factor pixels."""
    height, width, channels = image_shape
    if height % factor or width % factor:
        raise InvalidArgument("task", f"fit images of {height} x {width}", name)
    small = (height // factor, width // factor, channels)
    return Task(name, Downsampling(factor), None, small, value_scale=float(factor))


def _compressive_sensing(
    name: str, image_shape: tuple[int, int, int], known_share: float, seed: int
) -> Task:
    """Task of restoring images from their coordinates along random directions."""
    count = max(1, round(known_share * int(np.prod(image_shape))))
    return Task(name, RandomProjections(image_shape, count, seed), None, None)


def _colorization(name: str, image_shape: tuple[int, int, int]) -> Task:
    """Task of restoring RGB images from gray ones."""
    if image_shape[-1] != 3:
        raise InvalidArgument("task", "not be colorize, as the images are gray", name)
    return Task(name, Grayscale(), None, (*image_shape[:2], 1), value_scale=3**0.5)
