"""Photographs: images of any sizes, read whole, in memory or in the cache; their patches."""

import logging
from collections.abc import Iterator

import numpy as np

from tf_mdsm.datasets import readers
from tf_mdsm.datasets.image_cache import open_cached
from tf_mdsm.datasets.image_store import open_images, write_images
from tf_mdsm.datasets.loading import split_indices
from tf_mdsm.datasets.patches import Patches
from tf_mdsm.datasets.resizing import convert_channels
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.npz import memory_limit
from tf_mdsm.system.pixel_values import PixelCheck, as_pixels

__all__ = ["load_patches", "load_photographs"]

_LOGGER = logging.getLogger(__name__)

# Number of the way in which photographs are read and stored; raised when that changes.
_FORMAT = 2

# Names of files in a message, at most.
_MAX_NAMES = 100


def load_patches(
    source: str,
    *,
    path: str,
    image_size: int,
    channels: int,
    held_out_fraction: float = 0.1,
    skip_damaged: bool = False,
    cache: str = "",
) -> tuple[Patches, Patches]:
    """Loads images, and divides them into those whose patches are trained on and the others.

    Images that are smaller than a patch are left out, with a warning that names them. The arguments
    are the fields of `config.data`.

    Args:
        source: "folder", "npz" or "photographs", which scikit-image bundles.
        path: the folder of pictures, or the file with an array of images.
        image_size: height and width of a patch.
        channels: of the patches; images of the other kind become gray or colored.
        held_out_fraction: share of the images that are held out, at least one.
        skip_damaged: skip files that are no readable pictures, with a warning that names them.
        cache: folder that keeps the images decoded; empty: they are kept in memory.

    Returns:
        all patches of the training images, and a grid of patches of the held-out images that do not
        overlap.

    Raises:
        InvalidArgument: for every reason why the images cannot be read or the cache cannot be used,
            if none is as large as a patch, and if none would be left for training.
    """
    numbers, images = load_photographs(
        source, path=path, channels=channels, skip_damaged=skip_damaged, cache=cache
    )
    sides = [min(image.shape[:2]) for image in images]
    if max(sides) < image_size:
        requirement = "not exceed height and width of all images: patches are cut out of them"
        raise InvalidArgument("image_size", f"{requirement} (at most {max(sides)})", image_size)
    small = [index for index, side in enumerate(sides) if side < image_size]
    if small:
        sizes = {numbers[index]: images[index].shape for index in small}
        _warn_of_small_images(source, path, sizes, image_size)
    large = [index for index, side in enumerate(sides) if side >= image_size]
    if source == "photographs":
        is_held_out = np.array(numbers)[large] >= len(readers.PHOTOGRAPHS["train"])
        training, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    else:
        training, held_out = split_indices(len(large), held_out_fraction)
    return (
        Patches([images[large[index]] for index in training], image_size),
        Patches([images[large[index]] for index in held_out], image_size, stride=image_size),
    )


def load_photographs(
    source: str, *, path: str, channels: int, skip_damaged: bool = False, cache: str = ""
) -> tuple[list[int], list[np.ndarray]]:
    """Loads images of any sizes; arguments and errors as of `load_patches`.

    With `cache` they are decoded once and stored in one file, which is memory-mapped: of images
    that are indexed only what is needed is read from disk.

    Returns:
        the place of each image in the folder's list of files or in the array, and the images
        [H, W, channels], uint8, or of an array of floats float32 in [0, 1].
    """
    if source not in ("folder", "npz", "photographs"):
        raise InvalidArgument("source", "be folder, npz or photographs for patches", source)

    def read() -> Iterator[tuple[int, np.ndarray]]:
        return _read(source, path, channels, skip_damaged)

    if cache and source != "photographs":
        return open_cached(
            cache,
            {"source": source, "path": path},
            key=lambda found: [
                "photographs",
                _FORMAT,
                found.content,
                source,
                channels,
                skip_damaged,
            ],
            fill=lambda folder: write_images(read(), folder),
            open_folder=open_images,
        )
    numbers, images, size = [], [], 0
    for number, image in read():
        size += image.nbytes
        if size > memory_limit():
            requirement = "name a folder for images that take more than half of the memory"
            raise InvalidArgument("cache", requirement, f"none, after {len(images)} images")
        numbers.append(number)
        images.append(image)
    return numbers, images


def _read(
    source: str, path: str, channels: int, skip_damaged: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Images one after the other, each with its place in the source; refuses no images."""
    if source == "folder":
        images = readers.read_numbered_folder(path, skip_damaged)
    elif source == "photographs":
        images = enumerate(readers.read_photographs())
    else:
        images = enumerate(readers.read_npz(path))
    check, count = PixelCheck("source"), 0
    for number, image in images:
        check.require_dtype(image.dtype)
        check.add(image)
        yield number, as_pixels(convert_channels(image, channels))
        count += 1
    if not count:
        raise InvalidArgument("source", "hold images", "none")
    check.finish()


def _warn_of_small_images(
    source: str, path: str, sizes: dict[int, tuple[int, ...]], image_size: int
) -> None:
    """Names the images that are left out; `sizes` has their shapes by their numbers."""
    files = readers.folder_files(path) if source == "folder" else []
    names = [
        f"{files[number] if files else f'image {number}'} ({height} x {width})"
        for number, (height, width, _) in list(sizes.items())[:_MAX_NAMES]
    ]
    if len(sizes) > len(names):
        names.append(f"and {len(sizes) - len(names)} more")
    _LOGGER.warning(
        "%s: left out, as smaller than a patch of %d x %d pixels: %s",
        path,
        image_size,
        image_size,
        ", ".join(names),
    )
