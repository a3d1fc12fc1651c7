"""Linear operators of inverse problems: masks, downsampling, blur, projections, grayscale."""

import abc

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import as_images
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.values import number, whole_number

__all__ = [
    "MAX_PROJECTED_SIZE",
    "Downsampling",
    "Grayscale",
    "Inpainting",
    "LinearOperator",
    "LowPass",
    "RandomProjections",
    "require_orthonormal_rows",
]

# Random projections hold a matrix of up to this number squared.
MAX_PROJECTED_SIZE = 4_096


class LinearOperator(abc.ABC):
    """A linear operator A from images to values whose adjoint A' is its pseudoinverse.

    The condition is A A' A = A. Every operator with orthonormal rows satisfies it. The values may
    also have more numbers than A has independent rows (a masked image, a low-pass image), if A A'
    leaves them unchanged. Then A'y is the smallest image with the values y, and A'A is the
    projection onto what is measured. A is the same for all images of a batch.
    """

    @abc.abstractmethod
    def measure(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Values A x, float32 [B, …], of images x, [B, H, W, C].

        The operators of this module take floats, and uint8, which is divided by 255. They raise
        InvalidArgument for images of a shape that does not fit.
        """

    @abc.abstractmethod
    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """Images A'y, float32 [B, H, W, C], of values y, float32 [B, …]."""


class Inpainting(LinearOperator):
    """Keeps the pixels of a mask. The values are images that are 0 at the other pixels.

    Args:
        mask: 1 or True where a pixel is measured, else 0, [H, W, 1] or [H, W].

    Attributes:
        mask: 1 where a pixel is measured, else 0, float32 [H, W, 1].

    Raises:
        InvalidArgument: for a mask of another shape or with other values.
    """

    def __init__(self, mask: np.ndarray):
        known = np.asarray(mask)
        if known.ndim == 2:
            known = known[..., None]
        if known.ndim != 3 or known.shape[-1] != 1:
            raise InvalidArgument("mask", "be [H, W, 1] or [H, W]", f"shape {known.shape}")
        if not np.isin(known, (0, 1)).all():
            raise InvalidArgument("mask", "be 1 (known) or 0", f"values {np.unique(known)[:4]}")
        self.mask = tf.constant(known, tf.float32)

    def measure(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Images with the unmeasured pixels set to 0."""
        height, width, _ = self.mask.shape
        return as_images(images, (height, width, None)) * self.mask

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """The same as `measure`."""
        return self.measure(values)


class Downsampling(LinearOperator):
    """Averages blocks of factor x factor pixels. The values are the means times `factor`.

    Args:
        factor: side of a block, in pixels. It divides the height and the width of the images.

    Attributes:
        factor: as given.

    Raises:
        InvalidArgument: for a factor that is no whole number of at least 1.
    """

    def __init__(self, factor: int):
        self.factor = whole_number("factor", factor)

    def measure(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Means of the blocks times `factor`, float32 [B, H / factor, W / factor, C]."""
        images = as_images(images, (None, None, None))
        # Sides that are not known before the graph runs are None.
        if any(side and side % self.factor for side in images.shape[1:3]):
            requirement = f"have sides that {self.factor} divides"
            raise InvalidArgument("images", requirement, " x ".join(map(str, images.shape[1:3])))
        return self.factor * tf.nn.avg_pool2d(images, self.factor, self.factor, "VALID")

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """Images that are constant on each block."""
        rows = tf.repeat(values, self.factor, axis=1)
        return tf.repeat(rows, self.factor, axis=2) / self.factor


class LowPass(LinearOperator):
    """Keeps the Fourier components of low frequency. The values are the low-pass images.

    Args:
        image_shape: height, width, channels.
        cutoff: highest frequency that is kept, in cycles per pixel. (0.5 is the highest frequency
            along a row or a column.)

    Raises:
        InvalidArgument: for a cutoff that is negative or not finite.
    """

    def __init__(self, image_shape: tuple[int, int, int], cutoff: float):
        number("cutoff", cutoff, "be finite, and not negative", lambda c: c >= 0)
        height, width, _ = image_shape
        vertical, horizontal = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
        self._size = [height, width]
        self._is_kept = tf.constant(vertical**2 + horizontal**2 <= cutoff**2, tf.complex64)

    def measure(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Low-pass images, float32 [B, H, W, C]."""
        images = as_images(images, (*self._size, None))
        channels_first = tf.transpose(images, [0, 3, 1, 2])
        spectrum = tf.signal.rfft2d(channels_first, self._size) * self._is_kept
        return tf.transpose(tf.signal.irfft2d(spectrum, self._size), [0, 2, 3, 1])

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """The same as `measure`."""
        return self.measure(values)


class RandomProjections(LinearOperator):
    """Projects images onto random orthonormal directions, as in compressive sensing.

    Args:
        image_shape: height, width, channels.
        count: number of directions, at most the number of values in an image.
        seed: seed of the directions.

    Raises:
        InvalidArgument: for images of more than 4,096 values, or a count out of range.
    """

    def __init__(self, image_shape: tuple[int, int, int], count: int, seed: int):
        size = int(np.prod(image_shape))
        if size > MAX_PROJECTED_SIZE:
            at_most = f"hold at most {MAX_PROJECTED_SIZE} values"
            raise InvalidArgument("image_shape", at_most, image_shape)
        if whole_number("count", count) > size:
            raise InvalidArgument("count", f"lie in [1, {size}]", count)
        directions = np.random.default_rng(seed).standard_normal((size, count))
        self._rows = tf.constant(np.linalg.qr(directions)[0].T, tf.float32)
        self._image_shape = image_shape

    def measure(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Coordinates of images along the directions, float32 [B, count]."""
        flat = tf.reshape(as_images(images, self._image_shape), [-1, self._rows.shape[1]])
        return tf.matmul(flat, self._rows, transpose_b=True)

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """Sums of the directions, weighted by the coordinates."""
        return tf.reshape(tf.matmul(values, self._rows), [-1, *self._image_shape])


class Grayscale(LinearOperator):
    """Averages the channels. The values are the means times the square root of their number.

    Args:
        channels: number of channels of the images.

    Raises:
        InvalidArgument: for a number of channels that is no whole number of at least 1.
    """

    def __init__(self, channels: int = 3):
        self._channels = whole_number("channels", channels)

    def measure(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Sum of the channels over the square root of their number, float32 [B, H, W, 1]."""
        images = as_images(images, (None, None, self._channels))
        return tf.reduce_sum(images, -1, keepdims=True) / self._channels**0.5

    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """Gray images."""
        return tf.repeat(values, self._channels, axis=-1) / self._channels**0.5


def require_orthonormal_rows(operator: LinearOperator, image_shape: tuple[int, int, int]) -> None:
    """Raises InvalidArgument unless an operator's `adjoint` is its adjoint and pseudoinverse.

    Tests <A x, y> = <x, A'y> and A A' A x = A x with random images x and values y.

    Args:
        operator: A.
        image_shape: height, width, channels.

    Raises:
        InvalidArgument: if one of the equations has a relative error of more than 0.001.
    """
    generator = np.random.default_rng(0)
    images = tf.constant(generator.standard_normal((4, *image_shape)), tf.float32)
    measured = operator.measure(images)
    values = tf.constant(generator.standard_normal(measured.numpy().shape), tf.float32)
    # <A x, y> = <x, A'y>
    scale = float(tf.norm(measured) * tf.norm(values) + 1e-6)
    product = tf.reduce_sum(measured * values)
    adjoint_product = tf.reduce_sum(images * operator.adjoint(values))
    is_adjoint = abs(float(product - adjoint_product)) < 1e-3 * scale
    # A A' A x = A x
    error = float(tf.norm(operator.measure(operator.adjoint(measured)) - measured))
    is_pseudoinverse = error < 1e-3 * float(tf.norm(measured) + 1e-6)
    if not (is_adjoint and is_pseudoinverse):
        name = type(operator).__name__
        raise InvalidArgument("operator", "have orthonormal rows, and their adjoint", name)
