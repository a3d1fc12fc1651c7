"""Patches: windows of one size of images of any sizes, and random choices among all of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument

__all__ = ["Patches", "random_indices"]

# Most bytes of the patches that `Patches.sample` copies.
_MAX_SAMPLE_BYTES = 2**28


class Place(NamedTuple):
    """Where patches are: the indices of their images, their first rows and columns, int64 [b]."""

    image: np.ndarray
    top: np.ndarray
    left: np.ndarray


class Patches:
    """All windows of one size of some images, like an array [N, size, size, C].

    They are numbered image by image, and in each image row by row. N may be far beyond what fits
    into memory: a patch is copied from its image when it is indexed.

    Args:
        images: at least one array [H, W, C], each of the same dtype and C.
        size: height and width of the patches.
        stride: distance of a patch to the next one. 1: all windows. `size`: a grid of windows that
            do not overlap, in the middle of each image.

    Raises:
        InvalidArgument: for an image that is smaller than a patch.
    """

    def __init__(self, images: Sequence[np.ndarray], size: int, stride: int = 1):
        sides = np.array([image.shape[:2] for image in images], np.int64)
        if sides.min() < size:
            smallest = sides[sides.min(axis=1).argmin()]
            requirement = f"have at least {size} x {size} pixels each"
            raise InvalidArgument("images", requirement, " x ".join(map(str, smallest)))
        self._images, self._size, self._stride = images, size, stride
        self._margins = (sides - size) % stride // 2
        self._rows, self._columns = ((sides - size) // stride + 1).T
        self._ends = (self._rows * self._columns).cumsum()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), self._size, self._size, self._images[0].shape[-1])

    @property
    def images(self) -> Sequence[np.ndarray]:
        """The images that the patches are cut from."""
        return self._images

    @property
    def num_images(self) -> int:
        """The number of images that the patches are cut from."""
        return len(self._images)

    @property
    def dtype(self) -> np.dtype:
        return self._images[0].dtype

    def place(self, indices: np.ndarray) -> Place:
        """Where the patches of some numbers in [0, N) are; `indices` is an array [b]."""
        image = np.searchsorted(self._ends, indices, side="right")
        within = indices - self._ends[image] + self._rows[image] * self._columns[image]
        row, column = np.divmod(within, self._columns[image])
        top, left = self._margins[image].T
        return Place(image, top + row * self._stride, left + column * self._stride)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Copies of the patches of some numbers, [b, size, size, C]; `indices` is an array [b]."""
        patches = np.empty((len(indices), *self.shape[1:]), self.dtype)
        places = zip(*(values.tolist() for values in self.place(indices)), strict=True)
        for patch, (image, top, left) in zip(patches, places, strict=True):
            patch[:] = self._images[image][top : top + self._size, left : left + self._size]
        return patches

    def sample(self, max_patches: int) -> np.ndarray:
        """Random patches, all different and the same ones each time; all of them, if they are few.

        Args:
            max_patches: their number, which is smaller where they would take more than 256 MiB.

        Returns:
            the patches in random order, [n, size, size, C].
        """
        limit = _MAX_SAMPLE_BYTES // (int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        count = min(len(self), max_patches, max(limit, 1))
        indices = np.random.default_rng(0).choice(len(self), count, replace=False)
        order = indices.argsort()  # From a disk, images are read one after the other.
        patches = np.empty((count, *self.shape[1:]), self.dtype)
        patches[order] = self[indices[order]]
        return patches


def random_indices(step: tf.Tensor, position: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Independent random numbers of patches: each patch is equally likely.

    A permutation of all patches, as `batches.image_indices` has it of images, would give
    neighboring patches together: for so many numbers its four rounds are too few.

    Args:
        step: of the training run, int64 scalar.
        position: in the global batch, int64 [b].
        count: the number of patches, at most 2^48; probabilities differ by at most 2^-14.
        seed: the run's seed.

    Returns:
        int64 [b], each in [0, count).
    """
    seeds = tf.fill(tf.shape(position), tf.constant(seed, tf.int64))
    high, low = tf.unstack(randomness.integers(seeds, (step, position), "patch", 2), axis=1)
    bits = tf.bitwise.left_shift(high, tf.constant(30, tf.int64)) + tf.bitwise.right_shift(
        low, tf.constant(2, tf.int64)
    )
    return bits % count
