"""Signatures of the exported model: sample, energy, score, denoise, noise_level, inpaint.

They are built from functions and contain no Keras object. They check their inputs inside the
graph, so that every program that loads the export gets an error that names the wrong input.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tf_mdsm.serving.energy_functions import EnergyFunctions
from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE

__all__ = ["ServedEnergy"]


class ServedEnergy(tf.Module):
    """The functions of a trained energy with checks of their inputs, for a server.

    Images are float32 [B, H, W, C]; `sample` and `inpaint` return pixels in [0, 1]. The other
    signatures of a network of images of any size take any H and W.

    Args:
        functions: what is offered.
        image_shape: height, width, channels; None for height and width: any, for all signatures
            but `sample` and `inpaint`.
        sample_shape: height, width, channels of the images of `sample` and `inpaint`. None: those
            of `image_shape`.
        smallest_side: height and width that images must have at least.
        max_batch_size: largest number of images per call; also an attribute.
        weights: all variables that the functions read, by name. They are tracked one by one: of a
            tracked Keras model, two handles of each variable would be saved, and a server
            restores only one of them.
    """

    def __init__(
        self,
        functions: EnergyFunctions,
        *,
        image_shape: tuple[int | None, int | None, int],
        sample_shape: tuple[int, int, int] | None = None,
        smallest_side: int = 1,
        max_batch_size: int,
        weights: Mapping[str, tf.Variable],
    ):
        super().__init__(name="served_energy")
        self._weights = list(weights.values())
        self.max_batch_size = limit = max_batch_size
        shape, fixed = list(image_shape), list(sample_shape or image_shape)

        def checked_images(images):
            images = _checked_images(images, shape, limit)
            return _checked_sides(images, smallest_side) if None in shape else images

        # The functions, each with the checks of its inputs.
        def sample(seed):
            return functions.sample(_checked_seeds(seed, limit))

        def energy(images):
            return functions.energy(checked_images(images))

        def score(images):
            return functions.score(checked_images(images))

        def denoise(images):
            return functions.denoise(checked_images(images))

        def noise_level(images):
            return functions.noise_level(checked_images(images))

        def inpaint(images, mask, seed):
            images = _checked_images(images, fixed, limit)
            mask = _checked_mask(mask, images, fixed)
            images = _checked_known_pixels(images, mask)
            seed = _checked_seeds(seed, limit, count=tf.shape(images)[0])
            return functions.inpaint(images, mask, seed)

        # The same as TensorFlow functions of typed inputs.
        seeds = tf.TensorSpec([None], tf.int64, "seed")
        images = tf.TensorSpec([None, *shape], tf.float32, "images")
        known = tf.TensorSpec([None, *fixed], tf.float32, "images")
        mask = tf.TensorSpec([None, *fixed[:2], 1], tf.float32, "mask")
        self.sample = _function(sample, seeds)
        self.energy = _function(energy, images)
        self.score = _function(score, images)
        self.denoise = _function(denoise, images)
        self.noise_level = _function(noise_level, images)
        self.inpaint = _function(inpaint, known, mask, seeds)

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """The functions by the names under which a server offers them."""
        names = ("sample", "energy", "score", "denoise", "noise_level", "inpaint")
        functions = {name: getattr(self, name) for name in names}
        return {"serving_default": self.sample, **functions}


def _function(function: Callable, *signature: tf.TensorSpec) -> Callable:
    return tf.function(function, input_signature=signature, autograph=False)


def _require(holds: Any, requirement: str, received: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """The tensor if the condition holds, else the error INVALID_ARGUMENT with the requirement."""
    check = tf.debugging.Assert(holds, [f"{requirement}. Received:", received], summarize=8)
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _checked_shape(tensor: tf.Tensor, name: str, shape: list[int | None]) -> tf.Tensor:
    """The tensor if its shape is [B, *shape], where None is any size.

    A server feeds tensors of any shape. TensorFlow would evaluate a check of the shape while it
    builds the graph, from the shape in the signature. A placeholder of unknown shape and the raw
    op `Shape` move the check to run time.
    """
    untyped = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=None)
    received: Any = tf.raw_ops.Shape(input=untyped, out_type=tf.int32)
    sizes = [letter if size is None else size for size, letter in zip(shape, "HWC", strict=False)]
    requirement = f"`{name}` must be {tensor.dtype.name} {['B', *sizes]}".replace("'", "")
    rank_is_right = tf.equal(tf.size(received), 1 + len(shape))
    received = _require(rank_is_right, requirement, received, received)
    # None is any size: it is compared with the size that was received.
    required: Any = [received[1 + i] if size is None else size for i, size in enumerate(shape)]
    shape_is_right = tf.reduce_all(tf.equal(received[1:], required))
    checked = _require(shape_is_right, requirement, received, untyped)
    return tf.ensure_shape(checked, [None, *shape])


def _checked_batch_size(tensor: tf.Tensor, name: str, limit: int) -> tf.Tensor:
    count = tf.shape(tensor)[0]
    fits = (count >= 1) & (count <= limit)
    return _require(fits, f"`{name}` must be a batch of 1 to {limit}", count, tensor)


def _checked_images(images: tf.Tensor, shape: list[int | None], limit: int) -> tf.Tensor:
    images = _checked_batch_size(_checked_shape(images, "images", shape), "images", limit)
    is_finite = tf.math.is_finite(images)
    wrong = tf.boolean_mask(images, tf.logical_not(is_finite))
    return _require(tf.reduce_all(is_finite), "`images` must be finite", wrong, images)


def _checked_sides(images: tf.Tensor, smallest: int) -> tf.Tensor:
    sides = tf.shape(images)[1:3]
    requirement = f"`images` must be at least {smallest} pixels high and wide"
    return _require(tf.reduce_all(sides >= smallest), requirement, sides, images)


def _checked_seeds(seeds: tf.Tensor, limit: int, count: tf.Tensor | None = None) -> tf.Tensor:
    """Seeds of a valid shape and range; with `count`, as many seeds as that."""
    seeds = _checked_batch_size(_checked_shape(seeds, "seed", []), "seed", limit)
    in_range = (seeds >= 0) & (seeds <= MAX_SEED)
    wrong = tf.boolean_mask(seeds, tf.logical_not(in_range))
    seeds = _require(tf.reduce_all(in_range), f"`seed` must lie in {SEED_RANGE}", wrong, seeds)
    if count is None:
        return seeds
    size = tf.shape(seeds)
    return _require(size[0] == count, "`seed` must hold one seed per image", size, seeds)


def _checked_mask(mask: tf.Tensor, images: tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    mask = _checked_shape(mask, "mask", [*shape[:2], 1])
    count = tf.shape(mask)[0]
    mask = _require(
        count == tf.shape(images)[0], "`mask` must hold one mask per image", count, mask
    )
    is_binary = tf.equal(mask, 0.0) | tf.equal(mask, 1.0)
    wrong = tf.boolean_mask(mask, tf.logical_not(is_binary))
    return _require(tf.reduce_all(is_binary), "`mask` must be 1 (known) or 0", wrong, mask)


def _checked_known_pixels(images: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    is_wrong = (mask > 0.5) & ((images < 0.0) | (images > 1.0))
    wrong = tf.boolean_mask(images, is_wrong)
    requirement = "`images` must lie in [0, 1] where `mask` is 1"
    return _require(tf.logical_not(tf.reduce_any(is_wrong)), requirement, wrong, images)
