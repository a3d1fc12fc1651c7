"""The domain of a density: the box of images on which exp(-E / T) is normalized."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = ["Domain"]


@dataclasses.dataclass(frozen=True)
class Domain:
    """The box [-a, 1 + a]^d of images; the density is zero outside.

    The energy of a network may fall without bound far from its training images. Then the integral
    of exp(-E / T) over all of R^d is infinite. On a box it is finite.

    Attributes:
        margin: a, in pixel units, finite, at least 0. All images of pixels in [0, 1] lie inside.

    Raises:
        InvalidArgument: for another margin.
    """

    margin: float

    def __post_init__(self) -> None:
        if not 0 <= self.margin < np.inf:
            raise InvalidArgument("domain_margin", "be finite, and not negative", self.margin)

    @property
    def low(self) -> float:
        """Smallest value of a pixel, -a."""
        return -self.margin

    @property
    def high(self) -> float:
        """Largest value of a pixel, 1 + a."""
        return 1 + self.margin

    def contains_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Which pixels of images lie inside, bool of the images' shape."""
        return (images >= self.low) & (images <= self.high)

    def contains(self, images: tf.Tensor) -> tf.Tensor:
        """Which images [B, H, W, C] lie inside with all of their pixels, bool [B]."""
        return tf.reduce_all(self.contains_pixels(images), axis=(1, 2, 3))

    def exit_distances(self, images: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The largest t for which x + t v lies inside, [B].

        Args:
            images: x, inside, [B, H, W, C].
            directions: v, not all zero, [B, H, W, C].
        """
        walls = np.where(directions > 0, self.high, self.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = np.where(directions == 0, np.inf, (walls - images) / directions)
        return distances.min(axis=(1, 2, 3))
