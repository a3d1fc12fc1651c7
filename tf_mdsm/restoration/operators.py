"""Linear measurements of images, with orthonormal rows."""

import abc

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = [
    "Downsampling",
    "Grayscale",
    "Inpainting",
    "LinearOperator",
    "LowPass",
    "RandomProjections",
    "require_orthonormal_rows",
]

_MAX_SIZE = 4_096


class LinearOperator(abc.ABC):
    """A linear map A from images to values whose adjoint is its pseudoinverse: A A' A = A.

    So it is with orthonormal rows. Values may also be written with more numbers than there are
    rows (a masked image, a low-passed one), if A A' leaves them as they are. Then A'(y) is the
    smallest image that gives y, and A'A the projection onto what is measured. A is the same for
    all images of a batch.
    """

    @abc.abstractmethod
    def measure(self, images: tf.Tensor) -> tf.Tensor:
        """A x: images, float32 [B, H, W, C], to values, float32 [B, …]."""

    @abc.abstractmethod
    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """A' y: values, float32 [B, …], to images, float32 [B, H, W, C]."""


class Inpainting(LinearOperator):
    """The pixels of a mask; the values are images that are 0 elsewhere.

    Args:
        mask: 1 where a pixel is measured, else 0, [H, W, 1].
    """

    def __init__(self, mask: np.ndarray):
        self.mask = tf.constant(mask, tf.float32)

    def measure(self, images: tf.Tensor) -> tf.Tensor:
        return images * self.mask

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        return values * self.mask


class Downsampling(LinearOperator):
    """`factor` times the mean of each block of factor x factor pixels: [B, H/f, W/f, C]."""

    def __init__(self, factor: int):
        self.factor = factor

    def measure(self, images: tf.Tensor) -> tf.Tensor:
        return self.factor * tf.nn.avg_pool2d(images, self.factor, self.factor, "VALID")

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        rows = tf.repeat(values, self.factor, axis=1)
        return tf.repeat(rows, self.factor, axis=2) / self.factor


class LowPass(LinearOperator):
    """The Fourier components of low frequency; the values are images that hold no others.

    Args:
        image_shape: height, width, channels.
        cutoff: frequencies up to this one are kept, in cycles a pixel (0.5 is the highest that
            a row or a column holds).
    """

    def __init__(self, image_shape: tuple[int, int, int], cutoff: float):
        height, width, _ = image_shape
        down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
        self._size = [height, width]
        self._kept = tf.constant(down**2 + across**2 <= cutoff**2, tf.complex64)

    def measure(self, images: tf.Tensor) -> tf.Tensor:
        channels_first = tf.transpose(images, [0, 3, 1, 2])
        spectrum = tf.signal.rfft2d(channels_first, self._size) * self._kept
        return tf.transpose(tf.signal.irfft2d(spectrum, self._size), [0, 2, 3, 1])

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        return self.measure(values)


class RandomProjections(LinearOperator):
    """Coordinates along random orthonormal directions, [B, count] (compressive sensing).

    Args:
        image_shape: height, width, channels.
        count: how many directions, at most as many as values in an image.
        seed: of the directions.

    Raises:
        InvalidArgument: for images of more than 4,096 values, or a count out of range.
    """

    def __init__(self, image_shape: tuple[int, int, int], count: int, seed: int):
        size = int(np.prod(image_shape))
        if size > _MAX_SIZE:
            raise InvalidArgument("image_shape", f"hold at most {_MAX_SIZE} values", image_shape)
        if not 1 <= count <= size:
            raise InvalidArgument("count", f"lie in [1, {size}]", count)
        directions = np.random.default_rng(seed).standard_normal((size, count))
        self._rows = tf.constant(np.linalg.qr(directions)[0].T, tf.float32)
        self._image_shape = image_shape

    def measure(self, images: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(images, [-1, self._rows.shape[1]])
        return tf.matmul(flat, self._rows, transpose_b=True)

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.matmul(values, self._rows), [-1, *self._image_shape])


class Grayscale(LinearOperator):
    """The sum of the channels over the root of their number, [B, H, W, 1]."""

    def __init__(self, channels: int = 3):
        self._channels = channels

    def measure(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(images, -1, keepdims=True) / self._channels**0.5

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        return tf.repeat(values, self._channels, axis=-1) / self._channels**0.5


def require_orthonormal_rows(
    measurement: LinearOperator, image_shape: tuple[int, int, int]
) -> None:
    """Refuses a measurement of which `adjoint` is not adjoint and pseudoinverse.

    Tries <A x, y> = <x, A'y> and A A' A x = A x on random images and values.

    Raises:
        InvalidArgument: if one does not hold to a thousandth.
    """
    generator = np.random.default_rng(0)
    images = tf.constant(generator.standard_normal((4, *image_shape)), tf.float32)
    measured = measurement.measure(images)
    values = tf.constant(generator.standard_normal(measured.shape), tf.float32)
    scale = tf.norm(measured) * tf.norm(values) + 1e-6
    there = tf.reduce_sum(measured * values)
    back = tf.reduce_sum(images * measurement.adjoint(values))
    again = measurement.measure(measurement.adjoint(measured))
    if not abs(float(there - back)) < 1e-3 * float(scale) or not float(
        tf.norm(again - measured)
    ) < 1e-3 * float(tf.norm(measured) + 1e-6):
        name = type(measurement).__name__
        raise InvalidArgument("measurement", "have orthonormal rows, and their adjoint", name)
