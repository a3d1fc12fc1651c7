"""What can be wrong with an image: named tasks, and what each measures."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.operators import (
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
    """A linear measurement, and how its values look.

    Attributes:
        name: one of `restoration.task`'s.
        measurement: what is known of an image; None: all of it, under noise.
        mask: of the known pixels, [H, W, 1], if these are what is known.
        damaged_shape: height, width and channels of a measured image as a picture; None if the
            values are none.
        scale: values over the picture's pixels.
    """

    name: str
    measurement: LinearOperator | None
    mask: np.ndarray | None
    damaged_shape: tuple[int, int, int] | None
    scale: float = 1.0

    def picture(self, values: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
        """The values, [N, …], as images of full size; as A'y where they are no picture."""
        if self.damaged_shape is None:
            return self.measurement.adjoint(tf.constant(values)).numpy()
        images = values / self.scale
        height, width, channels = (
            full // given for full, given in zip(image_shape, self.damaged_shape, strict=True)
        )
        return images.repeat(height, axis=1).repeat(width, axis=2).repeat(channels, axis=3)

    def values(self, pictures: np.ndarray) -> np.ndarray:
        """The values that pictures of `damaged_shape` show."""
        values = (pictures * self.scale).astype(np.float32)
        if isinstance(self.measurement, Inpainting | LowPass):
            values = self.measurement.measure(tf.constant(values)).numpy()
        return values


def create_task(
    name: str,
    image_shape: tuple[int, int, int],
    hole: float = 0.5,
    known_share: float = 0.25,
    cutoff: float = 0.15,
    mask: np.ndarray | None = None,
    seed: int = 0,
) -> Task:
    """A task for images of a size.

    Args:
        name: "inpaint_box", "inpaint_half", "inpaint_random", "inpaint_mask",
            "super_resolution_2", "super_resolution_4", "deblur", "compressive_sensing",
            "denoise" or "colorize".
        image_shape: height, width, channels.
        hole: side of the box that is missing in the middle, as a share of the image's.
        known_share: share of the pixels, or of the coordinates, that are measured.
        cutoff: of the low-pass, in cycles a pixel.
        mask: of "inpaint_mask", 1 where known, [H, W, 1].
        seed: of the random pixels and directions.

    Raises:
        InvalidArgument: for a task that does not fit such images.
    """
    makers: dict[str, Callable[[], Task]] = {
        "inpaint_box": lambda: _inpainting(name, _box(image_shape, hole), image_shape),
        "inpaint_half": lambda: _inpainting(name, _upper_half(image_shape), image_shape),
        "inpaint_random": lambda: _inpainting(
            name, _random_pixels(image_shape, known_share, seed), image_shape
        ),
        "inpaint_mask": lambda: _inpainting(name, mask, image_shape),
        "super_resolution_2": lambda: _super_resolution(name, 2, image_shape),
        "super_resolution_4": lambda: _super_resolution(name, 4, image_shape),
        "deblur": lambda: Task(name, LowPass(image_shape, cutoff), None, image_shape),
        "compressive_sensing": lambda: _compressive(name, image_shape, known_share, seed),
        "denoise": lambda: Task(name, None, None, image_shape),
        "colorize": lambda: _colorization(name, image_shape),
    }
    if name not in makers:
        raise InvalidArgument("task", f"be one of {', '.join(makers)}", name)
    return makers[name]()


def fitting_tasks(image_shape: tuple[int, int, int], has_mask: bool) -> list[str]:
    """The names of all tasks that make sense for such images."""
    height, width, channels = image_shape
    fits = {
        "inpaint_box": True,
        "inpaint_half": True,
        "inpaint_random": True,
        "inpaint_mask": has_mask,
        "super_resolution_2": not (height % 2 or width % 2),
        "super_resolution_4": not (height % 4 or width % 4),
        "deblur": True,
        "compressive_sensing": height * width * channels <= 4_096,
        "denoise": True,
        "colorize": channels == 3,
    }
    return [name for name, holds in fits.items() if holds]


def _inpainting(name: str, mask: np.ndarray | None, image_shape: tuple[int, int, int]) -> Task:
    if mask is None:
        raise InvalidArgument("mask", "be given for inpaint_mask", "nothing")
    if mask.shape != (*image_shape[:2], 1):
        size = f"{image_shape[0]} x {image_shape[1]}"
        raise InvalidArgument("mask", f"be of the images' size, {size}", list(mask.shape))
    if not np.isin(mask, (0, 1)).all() or mask.all() or not mask.any():
        what = "hold 1 (known) and 0 (unknown), both"
        raise InvalidArgument("mask", what, f"values {np.unique(mask)[:4]}")
    mask = mask.astype(np.float32)
    return Task(name, Inpainting(mask), mask, image_shape)


def _box(image_shape: tuple[int, int, int], hole: float) -> np.ndarray:
    mask = np.ones((*image_shape[:2], 1), np.float32)
    sides = [min(max(1, round(hole * size)), size - 1) for size in image_shape[:2]]
    top, left = ((size - side) // 2 for size, side in zip(image_shape, sides, strict=False))
    mask[top : top + sides[0], left : left + sides[1]] = 0
    return mask


def _upper_half(image_shape: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((*image_shape[:2], 1), np.float32)
    mask[: image_shape[0] // 2] = 1
    return mask


def _random_pixels(image_shape: tuple[int, int, int], share: float, seed: int) -> np.ndarray:
    count = image_shape[0] * image_shape[1]
    order = np.random.default_rng(seed).permutation(count)
    known = order < np.clip(round(share * count), 1, count - 1)
    return known.reshape(*image_shape[:2], 1).astype(np.float32)


def _super_resolution(name: str, factor: int, image_shape: tuple[int, int, int]) -> Task:
    height, width, channels = image_shape
    if height % factor or width % factor:
        raise InvalidArgument("task", f"fit images of {height} x {width}", name)
    small = (height // factor, width // factor, channels)
    return Task(name, Downsampling(factor), None, small, scale=float(factor))


def _compressive(name: str, image_shape: tuple[int, int, int], share: float, seed: int) -> Task:
    count = max(1, round(share * int(np.prod(image_shape))))
    return Task(name, RandomProjections(image_shape, count, seed), None, None)


def _colorization(name: str, image_shape: tuple[int, int, int]) -> Task:
    if image_shape[-1] != 3:
        raise InvalidArgument("task", "not be colorize, as the images are grey", name)
    return Task(name, Grayscale(), None, (*image_shape[:2], 1), scale=3**0.5)
