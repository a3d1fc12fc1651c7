"""Training images as `prepare` carries them: each once, and which ones each step's batch holds."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import atomic_write

__all__ = ["read_batches", "write_inputs"]

# Training steps whose images are written; later steps take the same ones again, with new noise. Of
# large batches only the times are measured, and a patch takes more bytes than an image.
_MAX_STEPS, _MAX_STEPS_OF_PATCHES, _LARGE_BATCH, _FEW_STEPS = 60_000, 20_000, 256, 100

# Steps whose images are computed at a time.
_STEPS_OF_PART = 500


def write_inputs(config: Any, images: Any, folder: str) -> dict[str, str]:
    """Writes the images and the order of a run's batches, unless the same ones are there.

    Needs TensorFlow: the order is that of the run's own training.

    Args:
        config: the run's configuration.
        images: what training batches are drawn from: images [N, H, W, C], or patches of images.
        folder: where the files are written.

    Returns:
        the names of the two files, `images` and `order`.

    Raises:
        InvalidArgument: if the folder holds other images under this name.
    """
    from tf_mdsm.datasets.patches import Patches

    size, seed = config.training.batch_size, config.seed
    is_patches = isinstance(images, Patches)
    kind = f"patches_{config.data.channels}" if is_patches else "images"
    files = {"images": f"{kind}.npz", "order": f"order_{kind}_{size}.npz"}
    paths = {name: os.path.join(folder, file) for name, file in files.items()}
    whole = images.images if isinstance(images, Patches) else [images]
    if not os.path.exists(paths["images"]):
        _write(paths["images"], *whole)
    elif not _holds(paths["images"], whole):
        raise InvalidArgument("--output", "be a folder without other images", paths["images"])
    if not os.path.exists(paths["order"]):
        if isinstance(images, Patches):
            order = _order_of_patches(config, images, seed)
        else:
            num_steps = _FEW_STEPS if size > _LARGE_BATCH else _MAX_STEPS
            order = {"image": _order(len(images), size, num_steps, seed)}
        _write(paths["order"], **order)
    return files


def _write(path: str, *arrays: np.ndarray, **named: np.ndarray) -> None:
    """Writes a compressed file, complete or not at all."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, *arrays, **named)


def _holds(path: str, images: Sequence[np.ndarray]) -> bool:
    """Whether a file holds these images, in their order, and no others."""
    with np.load(path) as arrays:
        kept = arrays.files
        pairs = zip(kept, images, strict=False)
        return len(kept) == len(images) and all(
            np.array_equal(arrays[name], image) for name, image in pairs
        )


def _order(num_images: int, batch_size: int, num_steps: int, seed: int) -> np.ndarray:
    """Indices of the images of each step's batch, uint16 [num_steps, batch_size]."""
    import tensorflow as tf

    from tf_mdsm.datasets.batches import image_indices

    @tf.function(autograph=False)
    def part(first):
        counter = first * batch_size + tf.range(_STEPS_OF_PART * batch_size, dtype=tf.int64)
        return image_indices(counter, num_images, seed)

    firsts = range(0, num_steps, _STEPS_OF_PART)
    indices = [part(tf.constant(first, tf.int64)).numpy() for first in firsts]
    return np.concatenate(indices).reshape(-1, batch_size)[:num_steps].astype(np.uint16)


def _order_of_patches(config: Any, patches: Any, seed: int) -> dict[str, np.ndarray]:
    """Image, first row, first column and turn of each step's patches, [num_steps, batch_size].

    A turn is a number of quarter turns, with 4 added for a patch that is flipped before.
    """
    import tensorflow as tf

    from tf_mdsm.datasets.batches import orientations
    from tf_mdsm.datasets.patches import random_indices

    size = config.training.batch_size
    num_steps = min(config.training.num_steps, _MAX_STEPS_OF_PATCHES)

    @tf.function(autograph=False)
    def choices(step):
        position = tf.range(size, dtype=tf.int64)
        flip, turn = config.data.flip, config.data.turn
        indices = random_indices(step, position, len(patches), seed)
        return indices, *orientations(step, position, seed=seed, flip=flip, turn=turn)

    steps = [choices(tf.constant(step, tf.int64)) for step in range(num_steps)]
    indices, flipped, quarters = (np.stack(values) for values in zip(*steps, strict=True))
    place = patches.place(indices.ravel())
    found = {"image": place.image, "top": place.top, "left": place.left}
    order = {
        name: values.reshape(indices.shape).astype(np.uint16) for name, values in found.items()
    }
    return {**order, "turn": (quarters + 4 * flipped).astype(np.uint8)}


def read_batches(
    folder: str, files: Mapping[str, str], patch_size: int
) -> Callable[[int, int], np.ndarray]:
    """Reads what `write_inputs` wrote, without TensorFlow.

    Args:
        folder: where the files are.
        files: their names.
        patch_size: height and width of the patches.

    Returns:
        a function from a first step and a number of steps to their images,
        [steps, batch_size, H, W, C].
    """
    with np.load(os.path.join(folder, files["images"])) as arrays:
        images = [arrays[name] for name in arrays.files]
    with np.load(os.path.join(folder, files["order"])) as arrays:
        order = {name: arrays[name] for name in arrays.files}
    num_steps = len(order["image"])

    def rows(first: int, count: int) -> dict[str, np.ndarray]:
        steps = (first + np.arange(count)) % num_steps
        return {name: values[steps] for name, values in order.items()}

    def whole(first: int, count: int) -> np.ndarray:
        return images[0][rows(first, count)["image"]]

    def patches(first: int, count: int) -> np.ndarray:
        chosen = rows(first, count)
        shape = (*chosen["image"].shape, patch_size, patch_size, images[0].shape[-1])
        batches = np.empty(shape, images[0].dtype)
        for place in np.ndindex(chosen["image"].shape):
            image, top, left, turn = (
                int(chosen[name][place]) for name in ("image", "top", "left", "turn")
            )
            patch = images[image][top : top + patch_size, left : left + patch_size]
            batches[place] = np.rot90(patch[:, ::-1] if turn >= 4 else patch, turn % 4)
        return batches

    return patches if "top" in order else whole
