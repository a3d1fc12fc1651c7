"""The functions that a server offers: what they take, what they refuse, what they return.

They are made of callables, hold no Keras object, and refuse what they cannot use inside the
graph, so that any program that loads them is told why.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE

__all__ = ["ServedEnergy"]


class ServedEnergy(tf.Module):
    """A trained energy and its sampler as functions of images and seeds.

    Args:
        energy_fn: images [B, H, W, C] to energies [B].
        score_fn: images to scores [B, H, W, C].
        denoise_fn: images to denoised images.
        draw_fn: seeds [B] to images, not clipped.
        inpaint_fn: images, mask [B, H, W, 1] and seeds to images, known pixels unchanged.
        image_shape: height, width, channels.
        max_batch_size: images of one call, at most.
        variables: all that the callables read. They are tracked one by one: a tracked Keras
            model would be saved with two handles a variable, of which a server restores one.
    """

    def __init__(
        self,
        energy_fn: Callable[[tf.Tensor], tf.Tensor],
        score_fn: Callable[[tf.Tensor], tf.Tensor],
        denoise_fn: Callable[[tf.Tensor], tf.Tensor],
        draw_fn: Callable[[tf.Tensor], tf.Tensor],
        inpaint_fn: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
        image_shape: tuple[int, int, int],
        max_batch_size: int,
        variables: Sequence[tf.Variable],
    ):
        super().__init__(name="served_energy")
        self._weights = list(variables)
        shape, limit = list(image_shape), max_batch_size

        def sample(seed):
            seed = _checked_seeds(seed, limit)
            images = tf.clip_by_value(draw_fn(seed), 0.0, 1.0)
            return {"images": images, "energy": energy_fn(images)}

        def energy(images):
            return {"energy": energy_fn(_checked_images(images, shape, limit))}

        def score(images):
            return {"score": score_fn(_checked_images(images, shape, limit))}

        def denoise(images):
            return {"images": denoise_fn(_checked_images(images, shape, limit))}

        def inpaint(images, mask, seed):
            images = _checked_images(images, shape, limit)
            mask = _checked_mask(mask, images)
            images = _checked_known_pixels(images, mask)
            seed = _checked_seeds(seed, limit, count=tf.shape(images)[0])
            return {"images": tf.clip_by_value(inpaint_fn(images, mask, seed), 0.0, 1.0)}

        seeds = tf.TensorSpec([None], tf.int64, "seed")
        images = tf.TensorSpec([None, *shape], tf.float32, "images")
        mask = tf.TensorSpec([None, *shape[:2], 1], tf.float32, "mask")
        self.sample = _function(sample, seeds)
        self.energy = _function(energy, images)
        self.score = _function(score, images)
        self.denoise = _function(denoise, images)
        self.inpaint = _function(inpaint, images, mask, seeds)

    @property
    def signatures(self) -> dict[str, Callable]:
        """Under the names that a server offers."""
        names = ("sample", "energy", "score", "denoise", "inpaint")
        functions = {name: getattr(self, name) for name in names}
        return {"serving_default": self.sample, **functions}


def _function(function: Callable, *signature: tf.TensorSpec) -> Callable:
    return tf.function(function, input_signature=signature, autograph=False)


def _require(holds: tf.Tensor, requirement: str, received: tf.Tensor, tensor: tf.Tensor):
    """The tensor, if the condition holds; an INVALID_ARGUMENT that says what must be otherwise."""
    check = tf.debugging.Assert(holds, [f"{requirement}. Received:", received], summarize=8)
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _with_shape(tensor: tf.Tensor, name: str, shape: list[int]) -> tf.Tensor:
    """A tensor [B, *shape]. Its shape is asked at run time: a server feeds whatever it got, and
    what is known of the signature's shape would make the questions constants."""
    anything = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=None)
    received = tf.raw_ops.Shape(input=anything, out_type=tf.int32)
    wanted = f"`{name}` must be {tensor.dtype.name} {['B', *shape]}".replace("'", "")
    rank_is_right = tf.equal(tf.size(received), 1 + len(shape))
    received = _require(rank_is_right, wanted, received, received)
    anything = _require(tf.reduce_all(tf.equal(received[1:], shape)), wanted, received, anything)
    return tf.ensure_shape(anything, [None, *shape])


def _within_limit(tensor: tf.Tensor, name: str, limit: int) -> tf.Tensor:
    count = tf.shape(tensor)[0]
    fits = (count >= 1) & (count <= limit)
    return _require(fits, f"`{name}` must hold 1 to {limit} of them", count, tensor)


def _checked_images(images: tf.Tensor, shape: list[int], limit: int) -> tf.Tensor:
    images = _within_limit(_with_shape(images, "images", shape), "images", limit)
    is_finite = tf.math.is_finite(images)
    wrong = tf.boolean_mask(images, ~is_finite)
    return _require(tf.reduce_all(is_finite), "`images` must be finite", wrong, images)


def _checked_seeds(seeds: tf.Tensor, limit: int, count: tf.Tensor | None = None) -> tf.Tensor:
    seeds = _within_limit(_with_shape(seeds, "seed", []), "seed", limit)
    in_range = (seeds >= 0) & (seeds <= MAX_SEED)
    wrong = tf.boolean_mask(seeds, ~in_range)
    seeds = _require(tf.reduce_all(in_range), f"`seed` must lie in {SEED_RANGE}", wrong, seeds)
    if count is None:
        return seeds
    size = tf.shape(seeds)
    return _require(size[0] == count, "`seed` must hold one number an image", size, seeds)


def _checked_mask(mask: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    mask = _with_shape(mask, "mask", [*images.shape[1:3], 1])
    count = tf.shape(mask)[0]
    mask = _require(count == tf.shape(images)[0], "`mask` must hold one an image", count, mask)
    is_right = tf.equal(mask, 0.0) | tf.equal(mask, 1.0)
    wrong = tf.boolean_mask(mask, ~is_right)
    return _require(tf.reduce_all(is_right), "`mask` must be 1 (known) or 0", wrong, mask)


def _checked_known_pixels(images: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    is_wrong = (mask > 0.5) & ((images < 0.0) | (images > 1.0))
    wrong = tf.boolean_mask(images, is_wrong)
    known = "`images` must lie in [0, 1] where `mask` is 1"
    return _require(tf.logical_not(tf.reduce_any(is_wrong)), known, wrong, images)
