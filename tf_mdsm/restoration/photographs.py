"""Restoration of a photograph: any size, gray or color, by a gray or a color model."""

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.losses import noise_level
from tf_mdsm.networks.energy_network import require_sides
from tf_mdsm.restoration.operators import Inpainting, LinearOperator
from tf_mdsm.restoration.solve import known_data
from tf_mdsm.restoration.tasks import Task, create_task
from tf_mdsm.restoration.tiles import TiledEnergy
from tf_mdsm.restoration.windows import windows_around
from tf_mdsm.samplers.base import Method, Target
from tf_mdsm.samplers.sized import sized

__all__ = ["PhotographRestorer", "Restored", "enlargement"]

_FACTORS = {"super_resolution_2": 2, "super_resolution_4": 4}


def enlargement(task: str) -> int:
    """How many times as high and wide as the measured photograph a task's result is."""
    return _FACTORS.get(task, 1)


@dataclasses.dataclass(frozen=True)
class Restored:
    """A restored photograph.

    Attributes:
        pixels: not clipped, float32 [H, W, 1 or 3].
        original: the original, [H, W, 1 or 3]; None: not known.
        measured: what was known of the original, as an image of its size; None: no original.
        noise_level: the noise level that the model found in the photograph, in pixel units: the
            root mean square of what it took away; None of other tasks than denoising.
    """

    pixels: np.ndarray
    original: np.ndarray | None = None
    measured: np.ndarray | None = None
    noise_level: float | None = None


@dataclasses.dataclass(frozen=True)
class PhotographRestorer:
    """Restores photographs by a task, one at a time, each with the same seeds.

    A gray model restores each channel of a color photograph by itself. A color model restores a
    gray photograph in three equal channels, and the result is their mean.

    Missing pixels are filled in window by window: the score at a pixel depends on pixels within
    twice the network's reach, and on the noise variance of the window. So scratches in a large
    photograph take the time of their surroundings, not that of the photograph.

    Attributes:
        target: the energy.
        task: the task's name, as in `create_task`.
        method: how images are sampled; of task denoise an ascent from the photograph. None:
            denoising by one step, D(x).
        seed: seed of the first solution, of added noise and of random pixels.
        num_solutions: the result is the mean of this number of solutions, which is nearer to the
            original than each of them, and smoother. Denoising has one.
        noise: denoise: level of the noise that originals are given, in pixel units.
        mask: inpaint_mask: 1 where a pixel is known, else 0, [H, W, 1].
        hole: as in `create_task`.
        known_share: as in `create_task`.
        cutoff: as in `create_task`.
    """

    target: TiledEnergy
    task: str
    method: Method | None
    seed: int = 0
    num_solutions: int = 1
    noise: float = 0.1
    mask: np.ndarray | None = None
    hole: float = 0.5
    known_share: float = 0.25
    cutoff: float = 0.15

    def __post_init__(self) -> None:
        if self.task == "colorize" and self._channels != 3:
            raise InvalidArgument("task", "not be colorize, as the model is gray", self.task)

    def from_measured(self, pixels: np.ndarray) -> Restored:
        """Restores a measured photograph: noisy, small, gray, or with unknown pixels.

        Args:
            pixels: float32 [H, W, 1 or 3].

        Raises:
            InvalidArgument: for a photograph that is too small, or of another size than the mask.
            RunError: if denoising would take away more than the largest noise of training.
        """
        task = self.create_task(*self._restored_sides(pixels.shape, is_measured=True))
        if task.operator is None:
            return self._denoise(pixels)
        channels = pixels.shape[-1]
        if self.task == "colorize":
            images, channels = pixels[None].mean(axis=-1, keepdims=True), 3
        else:
            images = self._model_images(pixels)
        values = task.values_from_images(images)
        return Restored(self._solve(task.operator, values, channels))

    def from_original(self, pixels: np.ndarray) -> Restored:
        """Measures an original, and restores it.

        For super-resolution the original is cut at the right and below to sides that the factor
        divides.

        Args:
            pixels: float32 [H, W, 1 or 3].

        Raises:
            InvalidArgument, RunError: as `from_measured`.
        """
        height, width = self._restored_sides(pixels.shape, is_measured=False)
        original = pixels[:height, :width]
        task = self.create_task(height, width)
        if task.operator is None:
            noise = np.random.default_rng(self.seed).standard_normal(original.shape, np.float32)
            noisy = original + np.float32(self.noise) * noise
            restored = self._denoise(noisy)
            return dataclasses.replace(restored, original=original, measured=noisy)
        if self.task == "colorize" and original.shape[-1] == 1:
            original = original.repeat(3, axis=-1)
        channels = original.shape[-1]
        values = task.operator.measure(self._model_images(original)).numpy()
        return Restored(
            pixels=self._solve(task.operator, values, channels),
            original=original,
            measured=_photograph(task.operator.adjoint(tf.constant(values)).numpy(), channels),
        )

    def max_tiles(self, shape: tuple[int, ...], *, is_measured: bool) -> int:
        """The largest number of tiles that are evaluated for a photograph, for a progress bar.

        Args:
            shape: height, width, channels of the photograph.
            is_measured: whether it goes to `from_measured`.

        Raises:
            InvalidArgument: as `from_measured`.
        """
        num_images = shape[-1] if self._channels == 1 else 1
        solutions = 1 if self.task == "denoise" else self.num_solutions
        evaluations = 0 if self.method is None else self.method.max_gradient_evaluations * solutions
        evaluations = max(evaluations, 1)
        height, width = self._restored_sides(shape, is_measured=is_measured)
        operator = self.create_task(height, width).operator
        windows = [(slice(0, height), slice(0, width))]
        if isinstance(operator, Inpainting):
            windows = self._windows(operator)
        tiles = sum(
            self.target.num_tiles(rows.stop - rows.start, columns.stop - columns.start)
            for rows, columns in windows
        )
        return tiles * num_images * evaluations

    def _restored_sides(self, shape: tuple[int, ...], *, is_measured: bool) -> tuple[int, int]:
        """Height and width of the result: of a measured photograph enlarged, of an original cut."""
        height, width = shape[:2]
        factor = enlargement(self.task)
        if is_measured:
            return factor * height, factor * width
        return height - height % factor, width - width % factor

    @property
    def _channels(self) -> int:
        return self.target.image_shape[-1]

    def create_task(self, height: int, width: int) -> Task:
        """The task for restored photographs of a size.

        Raises:
            InvalidArgument: for a size that is too small, or is not the mask's.
        """
        require_sides((height, width), self.target.smallest_side)
        if self.mask is not None and self.mask.shape[:2] != (height, width):
            requirement = f"be of the photograph's size, {height} x {width}"
            raise InvalidArgument("mask", requirement, " x ".join(map(str, self.mask.shape[:2])))
        return create_task(
            self.task,
            (height, width, self._channels),
            hole=self.hole,
            known_share=self.known_share,
            cutoff=self.cutoff,
            mask=self.mask,
            seed=self.seed,
        )

    def _denoise(self, noisy: np.ndarray) -> Restored:
        """Denoises a photograph, channel by channel for a gray model."""
        images = self._model_images(noisy)
        denoise = self.target.denoise
        if self.method is not None:
            denoise = functools.partial(
                self.method.sample_from, self._sized(images), seeds=self._seeds
            )
        restored = np.concatenate([denoise(tf.constant(image[None])).numpy() for image in images])
        levels = noise_level(tf.constant(images), tf.constant(restored)).numpy()
        level, largest = float(np.sqrt(np.mean(levels**2))), self.target.noise.sigma_max
        if not level <= largest:
            raise RunError(
                f"the model would change the pixels by {level:.3g}, and was trained for noise of "
                f"at most {largest:.3g}: it does not know such photographs"
            )
        return Restored(_photograph(restored, noisy.shape[-1]), noise_level=level)

    def _solve(self, operator: LinearOperator, values: np.ndarray, channels: int) -> np.ndarray:
        """The photograph [H, W, channels] with some values."""
        if isinstance(operator, Inpainting):
            return _photograph(self._fill_in(operator, values), channels)
        return _photograph(self._sample(operator, values), channels)

    def _fill_in(self, operator: Inpainting, values: np.ndarray) -> np.ndarray:
        """Images [N, H, W, C] with known pixels, from images that are 0 at the missing ones."""
        filled, mask = values.copy(), operator.mask.numpy()
        for rows, columns in self._windows(operator):
            window = Inpainting(mask[rows, columns])
            filled[:, rows, columns] = self._sample(window, values[:, rows, columns])
        return filled

    def _windows(self, operator: Inpainting) -> list[tuple[slice, slice]]:
        """The windows around the missing pixels of a photograph."""
        return windows_around(
            operator.mask.numpy()[..., 0] < 0.5,
            margin=2 * self.target.overlap,
            multiple=self.target.multiple,
        )

    def _sample(self, operator: LinearOperator, values: np.ndarray) -> np.ndarray:
        """Images [N, H, W, C] with some values; one image at a time, all of the same seeds."""
        target = self._sized(operator.adjoint(tf.constant(values[:1])).numpy())
        return np.concatenate(
            [self._mean_solution(target, operator, tf.constant(value[None])) for value in values]
        )

    def _mean_solution(
        self, target: Target, operator: LinearOperator, values: tf.Tensor
    ) -> np.ndarray:
        """The mean of the solutions for some values, [1, H, W, C]."""
        assert self.method is not None
        known = [
            known_data(operator, values, self._seeds + number)
            for number in range(self.num_solutions)
        ]
        # Step by step: a compiled loop would be compiled anew for each size, which takes seconds.
        solutions = [self.method.sample_given(target, data) for data in known]
        # The mean of equal numbers may be rounded, but known pixels are exact.
        return known[0].project(tf.reduce_mean(solutions, axis=0)).numpy()

    def _sized(self, images: np.ndarray) -> Target:
        """The target for images of the size of some, [N, H, W, C]."""
        target: Any = self.target
        return sized(target, images.shape[1:3])

    @property
    def _seeds(self) -> tf.Tensor:
        return tf.constant([self.seed], tf.int64)

    def _model_images(self, pixels: np.ndarray) -> np.ndarray:
        """A photograph [H, W, c] as images with the model's channels, [N, H, W, C]."""
        if pixels.shape[-1] == self._channels:
            return pixels[None]
        if self._channels == 1:
            return np.moveaxis(pixels, -1, 0)[..., None]
        return pixels[None].repeat(self._channels, axis=-1)


def _photograph(images: np.ndarray, channels: int) -> np.ndarray:
    """A photograph [H, W, channels] from images [N, H, W, C]: the inverse of `_model_images`."""
    if images.shape[-1] == channels and len(images) == 1:
        return images[0]
    if images.shape[-1] == 1:
        return np.moveaxis(images[..., 0], 0, -1)
    return images[0].mean(axis=-1, keepdims=True)
