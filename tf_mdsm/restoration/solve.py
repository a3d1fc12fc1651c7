"""Solving inverse problems with a sampler: several restored images for each measured one."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import LinearOperator
from tf_mdsm.restoration.tasks import Task
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.conditioning import KnownData, KnownPixels

__all__ = ["denoise_blindly", "solve"]


def solve(
    sampler: Sampler,
    task: Task,
    values: np.ndarray,
    *,
    num_solutions: int,
    seed: int,
    batch_size: int,
) -> np.ndarray:
    """Samples images that agree with the known values of a task's operator.

    Solution k of image n is a function of its values and of the seed
    `seed + n num_solutions + k`.

    Args:
        sampler: the sampler.
        task: the task; it has an operator.
        values: the operator's values y, float32 [N, …].
        num_solutions: number of solutions for each image.
        seed: seed of the first solution of the first image, >= 0.
        batch_size: number of images that are sampled at the same time.

    Returns:
        images that agree with the values, not clipped, float32 [N, num_solutions, H, W, C].

    Raises:
        InvalidArgument: for a task without operator, which is denoising.
    """
    operator = task.operator
    if operator is None:
        raise InvalidArgument("task", "have an operator", task.name)
    values_spec = tf.TensorSpec([None, *values.shape[1:]], tf.float32)

    @tf.function(input_signature=[values_spec, tf.TensorSpec([None], tf.int64)], autograph=False)
    def restore_batch(batch_values, batch_seeds):
        return sampler.sample_given(_known_data(operator, task.mask, batch_values, batch_seeds))

    repeated = values.repeat(num_solutions, axis=0)
    seeds = _solution_seeds(seed, len(values), num_solutions)
    batches = []
    for first in range(0, len(seeds), batch_size):
        batch = slice(first, first + batch_size)
        batches.append(restore_batch(repeated[batch], seeds[batch]).numpy())
    restored = np.concatenate(batches)
    return restored.reshape(len(values), num_solutions, *restored.shape[1:])


def denoise_blindly(
    sampler: CoarseToFine, noisy: np.ndarray, *, num_solutions: int, seed: int
) -> np.ndarray:
    """Denoises images of unknown noise level, by coarse-to-fine ascent from the images themselves.

    The sampler estimates the noise level of each image. Solution k of image n uses the seed
    `seed + n num_solutions + k`.

    Args:
        sampler: the sampler; its `start_fn` is replaced.
        noisy: noisy images, float32 [N, H, W, C].
        num_solutions: number of solutions for each image.
        seed: seed of the first solution of the first image, >= 0.

    Returns:
        denoised images, not clipped, float32 [N, num_solutions, H, W, C].
    """
    start_images = tf.constant(noisy.repeat(num_solutions, axis=0))
    sampler = dataclasses.replace(sampler, start_fn=lambda _: start_images)
    seeds = tf.constant(_solution_seeds(seed, len(noisy), num_solutions))
    restored = tf.function(sampler.sample, autograph=False)(seeds).numpy()
    return restored.reshape(len(noisy), num_solutions, *noisy.shape[1:])


def _solution_seeds(seed: int, num_images: int, num_solutions: int) -> np.ndarray:
    """Seeds of all solutions, int64 [num_images * num_solutions], image after image."""
    return seed + np.arange(num_images * num_solutions)


def _known_data(
    operator: LinearOperator, mask: np.ndarray | None, values: tf.Tensor, seeds: tf.Tensor
) -> KnownData:
    """Known data for a sampler; with a mask [H, W, 1], known pixels, which are kept exactly."""
    if mask is None:
        return KnownMeasurement(operator, values, seeds)
    return KnownPixels(values, tf.ones_like(values[:, :, :, :1]) * mask, seeds)
