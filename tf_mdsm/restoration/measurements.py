"""Linear measurements of images, with orthonormal rows."""

import abc

import tensorflow as tf

__all__ = ["Measurement"]


class Measurement(abc.ABC):
    """A linear map A from images to values, A A' = I.

    The rows of A are orthonormal, so that the adjoint is the pseudoinverse: A'(y) is the
    smallest image that gives y, and A'A the projection onto what is measured. A is the same for
    all images of a batch.
    """

    @abc.abstractmethod
    def measure(self, images: tf.Tensor) -> tf.Tensor:
        """A x: images, float32 [B, H, W, C], to values, float32 [B, …]."""

    @abc.abstractmethod
    def adjoint(self, values: tf.Tensor) -> tf.Tensor:
        """A' y: values, float32 [B, …], to images, float32 [B, H, W, C]."""
