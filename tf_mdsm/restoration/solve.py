"""Solving inverse problems with a sampler: restored images for measured values."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import as_images
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import Inpainting, LinearOperator
from tf_mdsm.samplers.base import Method, Target, require_target
from tf_mdsm.samplers.chain import checked_seeds
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.conditioning import KnownData, KnownPixels
from tf_mdsm.samplers.sampling import checked_method, trained_noise, warn_beyond_training
from tf_mdsm.samplers.schedules import growing_step_sizes
from tf_mdsm.samplers.sized import sized
from tf_mdsm.samplers.starts import SmoothStart
from tf_mdsm.samplers.values import whole_number
from tf_mdsm.system.batchwise import batchwise

__all__ = [
    "default_method",
    "denoise_blindly",
    "denoise_in_half_steps",
    "half_steps",
    "known_data",
    "restore",
    "solve",
]

# Half of the way to D(x) in each step, and the largest number of such steps.
_HALF, _MAX_HALF_STEPS = 0.5, 8


def restore(
    target: Target,
    values: np.ndarray | tf.Tensor,
    operator: LinearOperator,
    *,
    seeds: Sequence[int] | np.ndarray | None = None,
    method: Method | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Samples images that agree with the values y = A x of a linear operator, one for each y.

        operator = tf_mdsm.restoration.Inpainting(mask)
        filled = tf_mdsm.restore(model, operator.measure(photos), operator)

    Args:
        target: what is sampled, an `EnergyModel` for example. A target of images of any size
            restores images of the operator's size.
        values: the operator's values y, `operator.measure(images)`, [N, …].
        operator: A.
        seeds: one for each y, integers in [0, 2^63), all different. None: 0, 1, 2, … Several
            solutions of one y: repeat it, with other seeds.
        method: how. None: `default_method(target)`.
        batch_size: number of images that are sampled at the same time.

    Returns:
        images that agree with the values, not clipped, float32 [N, H, W, C]. Pixels that
        `Inpainting` knows are those of the values, bit for bit.

    Raises:
        InvalidArgument: for an operator that does not fit the target's images; for values of
            another shape, not finite, or uint8; for wrong or too few seeds.
        RunError: if the restored images are not finite.

    Warns:
        UserWarning: if the target was not trained for the method's noise levels.
    """
    require_target(target)
    method = checked_method(target, method or default_method(target))
    if not isinstance(operator, LinearOperator):
        requirement = "be a LinearOperator, as Inpainting(mask)"
        raise InvalidArgument("operator", requirement, type(operator).__name__)
    if np.asarray(values).dtype == np.uint8:
        requirement = "be floats, as operator.measure(images) makes them of uint8"
        raise InvalidArgument("values", requirement, "dtype uint8")
    values = np.asarray(values, np.float32)
    target = sized(target, _image_size(target, operator, values))
    expected = _shape_of_values(operator, target.image_shape)
    if values.shape[1:] != expected or not np.isfinite(values).all():
        shape = "N, " + ", ".join(map(str, expected))
        received = f"shape {list(values.shape)}" if np.isfinite(values).all() else "NaN or infinity"
        raise InvalidArgument("values", f"be finite numbers [{shape}] of the operator", received)
    checked = checked_seeds(range(len(values)) if seeds is None else seeds)
    if len(checked) != len(values):
        raise InvalidArgument("seeds", f"be one for each of {len(values)} values", len(checked))
    whole_number("batch_size", batch_size)
    warn_beyond_training(target, method, stacklevel=3)
    rows = np.arange(len(values))
    restorer = _restorer(target, method, operator)
    return _require_finite(_in_batches(restorer, values, rows, checked, batch_size))


def default_method(target: Target) -> CoarseToFine:
    """Coarse-to-fine ascent over a target's trained noise levels.

    Its settings came nearest to the original images of all that were measured: for a target of one
    size the defaults of `config.restoration`, for images of any size those of configs/photos.py.
    The latter ascent starts at the smoothest images that agree with the data, at a tenfold of the
    smallest trained level, as the largest one does not hide the contrast of a large hole.

    Raises:
        InvalidArgument: for a target without noise levels.
    """
    noise = trained_noise(target)
    if None in target.image_shape[:2]:
        first = min(noise.sigma_max, 10 * noise.sigma_min)
        return CoarseToFine(
            sigma_start=first,
            sigma_end=noise.sigma_min,
            step_sizes=growing_step_sizes(h0=1.0, max_steps=150),
            beta=0.1,
            start=SmoothStart(first),
        )
    return CoarseToFine(
        sigma_start=noise.sigma_max,
        sigma_end=noise.sigma_min,
        step_sizes=growing_step_sizes(h0=0.01, max_steps=150),
        beta=0.1,
    )


def solve(
    target: Target,
    method: Method,
    operator: LinearOperator,
    values: np.ndarray,
    *,
    num_solutions: int,
    seed: int,
    batch_size: int,
) -> np.ndarray:
    """Restores several images for each of an operator's values.

    Solution k of image n is a function of its values and of the seed
    `seed + n num_solutions + k`.

    Args:
        target: what is sampled.
        method: how.
        operator: A.
        values: the operator's values y, float32 [N, …].
        num_solutions: number of solutions for each image.
        seed: seed of the first solution of the first image, >= 0.
        batch_size: number of images that are sampled at the same time.

    Returns:
        images that agree with the values, not clipped, float32 [N, num_solutions, H, W, C].
    """
    target = sized(target, _image_size(target, operator, values))
    restore_batch = _restorer(target, method, operator)
    return _solutions(restore_batch, values, num_solutions, seed, batch_size)


def denoise_blindly(
    target: Target,
    method: CoarseToFine,
    noisy: np.ndarray,
    *,
    num_solutions: int,
    seed: int,
    batch_size: int = 64,
) -> np.ndarray:
    """Denoises images of unknown noise level, by coarse-to-fine ascent from the images themselves.

    The method estimates the noise level of each image. Solution k of image n uses the seed
    `seed + n num_solutions + k`.

    Args:
        target: what is sampled.
        method: the ascent; its start is not used.
        noisy: noisy images, float32 [N, H, W, C].
        num_solutions: number of solutions for each image.
        seed: seed of the first solution of the first image, >= 0.
        batch_size: number of images that are denoised at the same time.

    Returns:
        denoised images, not clipped, float32 [N, num_solutions, H, W, C].

    Raises:
        InvalidArgument: for a target whose weighting of the loss trains no denoiser.
        RunError: if the denoised images are not finite.
    """
    checked_method(target, method)

    def denoise_batch(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return method.sample_from(target, images, seeds)

    return _require_finite(_solutions(denoise_batch, noisy, num_solutions, seed, batch_size))


def half_steps(noise: NoiseLevels) -> CoarseToFine:
    """Ascent x <- (x + D(x)) / 2 until the noise found is below twice sigma_min; then D(x).

    Without added noise. On photographs it comes nearer to the original than D(x) of the noisy image
    (docs/concepts/photographs.md), where the detail of an image is taken for a part of its noise.

    Args:
        noise: the noise levels that the model was trained for.
    """
    return CoarseToFine(
        sigma_start=noise.sigma_max,
        sigma_end=2 * noise.sigma_min,
        step_sizes=np.full(_MAX_HALF_STEPS, _HALF, np.float32),
        beta=1.0,
    )


def denoise_in_half_steps(target: Target, images: np.ndarray | tf.Tensor) -> np.ndarray:
    """Denoises images of unknown noise level as `--mode=restore` denoises photographs.

        clean = tf_mdsm.restoration.denoise_in_half_steps(run.model, photo[None])

    Args:
        target: what the images are denoised by, an `EnergyModel` or `TiledEnergy` for example.
        images: noisy images, uint8 or floats, [N, H, W, C]. They are denoised one after the other.

    Returns:
        denoised images, not clipped, float32 [N, H, W, C]: of each image what `half_steps` ends at,
        after 2 to 9 gradient evaluations.

    Raises:
        InvalidArgument: for images of another shape, or not finite; for a target whose weighting of
            the loss trains no denoiser.
        RunError: if the denoised images are not finite.
    """
    require_target(target)
    method = checked_method(target, half_steps(trained_noise(target)))
    noisy = as_images(images, target.image_shape).numpy()
    if not len(noisy) or not np.isfinite(noisy).all():
        received = "NaN or infinity" if len(noisy) else "no image"
        raise InvalidArgument("images", "be finite numbers, of one image or more", received)
    of_size, seed = sized(target, noisy.shape[1:3]), tf.zeros([1], tf.int64)
    batches = [tf.constant(image[None]) for image in noisy]
    denoised = [method.sample_from(of_size, batch, seed) for batch in batches]
    return _require_finite(np.concatenate(denoised))


def _require_finite(images: np.ndarray) -> np.ndarray:
    """The images; raises RunError if some are not finite."""
    if not np.isfinite(images).all():
        raise RunError("the restored images are not finite numbers")
    return images


def _shape_of_values(operator: LinearOperator, image_shape: tuple[int, int, int]) -> tuple:
    """The shape of an image's values.

    Raises:
        InvalidArgument: for an operator that does not take and give images of this shape.
    """
    requirement = f"fit images of {' x '.join(map(str, image_shape))}"
    received = type(operator).__name__
    try:
        values = operator.measure(tf.zeros([1, *image_shape]))
        own_shape = operator.adjoint(values).shape[1:]
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise InvalidArgument("operator", requirement, received) from error
    if tuple(own_shape) != tuple(image_shape):
        raise InvalidArgument("operator", requirement, received)
    return tuple(values.shape[1:])


def _image_size(
    target: Target, operator: LinearOperator, values: np.ndarray
) -> tuple[int, int] | None:
    """Height and width of the images with some values, for a target of any size; else None.

    Raises:
        InvalidArgument: for values that are not the operator's.
    """
    shape: Sequence[int | None] = target.image_shape
    if None not in shape[:2]:
        return None
    try:
        images = operator.adjoint(tf.constant(values[:1]))
        height, width, channels = images.numpy().shape[1:]
    except (tf.errors.InvalidArgumentError, ValueError, IndexError) as error:
        requirement = "be of the operator, as operator.measure(images)"
        raise InvalidArgument("values", requirement, f"shape {list(values.shape)}") from error
    if channels != shape[2]:
        requirement = f"be those of images with {shape[2]} channels"
        raise InvalidArgument("values", requirement, f"shape {list(values.shape)}")
    return height, width


# A function of values or images [B, ...] and seeds [B] to restored images [B, H, W, C].
_RestoreFn = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _restorer(target: Target, method: Method, operator: LinearOperator) -> _RestoreFn:
    """The function that samples images which agree with values y."""
    return lambda values, seeds: method.sample_given(target, known_data(operator, values, seeds))


def _solutions(
    restore_fn: _RestoreFn, values: np.ndarray, num_solutions: int, seed: int, batch_size: int
) -> np.ndarray:
    """Several solutions for each row of the values, [N, num_solutions, H, W, C]."""
    rows = np.arange(len(values)).repeat(num_solutions)
    seeds = seed + np.arange(len(rows))
    restored = _in_batches(restore_fn, values, rows, seeds, batch_size)
    return restored.reshape(len(values), num_solutions, *restored.shape[1:])


def _in_batches(
    restore_fn: _RestoreFn,
    values: np.ndarray,
    rows: np.ndarray,
    seeds: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    """An image for each seed, from the row of the values that `rows` names, [N, H, W, C]."""
    # The batch size is left open, so that the function is compiled once.
    values_spec = tf.TensorSpec([None, *values.shape[1:]], tf.float32)
    seeds_spec = tf.TensorSpec([None], tf.int64)
    restore_batch = tf.function(
        restore_fn, input_signature=[values_spec, seeds_spec], autograph=False
    )
    return batchwise(
        lambda rows, seeds: restore_batch(values[rows], seeds), rows, seeds, batch_size=batch_size
    )


def known_data(operator: LinearOperator, values: tf.Tensor, seeds: tf.Tensor) -> KnownData:
    """Known data for a method; the pixels that `Inpainting` knows are kept exactly.

    Args:
        operator: A.
        values: the operator's values y, float32 [B, …].
        seeds: int64 [B].
    """
    if isinstance(operator, Inpainting):
        return KnownPixels(values, tf.ones_like(values[:, :, :, :1]) * operator.mask, seeds)
    return KnownMeasurement(operator, values, seeds)
