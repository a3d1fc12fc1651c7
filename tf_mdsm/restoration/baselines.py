"""Standard methods of scikit-image for the same tasks, to compare a restoration with."""

import numpy as np
from skimage import filters, restoration, transform

from tf_mdsm.restoration.tasks import Task

__all__ = ["baseline_solution"]


def baseline_solution(task: Task, pictures: np.ndarray) -> tuple[str, np.ndarray] | None:
    """What scikit-image has for a task: the method's name, and the images it restores.

    Args:
        task: what was measured.
        pictures: the values as images of full size, [N, H, W, C].

    Returns:
        None where it has no method (random projections, colours).
    """
    if task.mask is not None:
        missing = task.mask[..., 0] < 0.5
        images = [
            restoration.inpaint_biharmonic(picture, missing, channel_axis=-1)
            for picture in pictures
        ]
        return "biharmonic inpainting", np.stack(images)
    if task.name.startswith("super_resolution"):
        factor = int(task.scale)
        small = pictures[:, ::factor, ::factor]
        images = [transform.resize(image, pictures.shape[1:], order=3) for image in small]
        return "bicubic interpolation", np.stack(images)
    if task.name == "deblur":
        return "unsharp masking", np.stack([_sharpened(picture) for picture in pictures])
    if task.name == "denoise":
        images = [_without_noise(picture) for picture in pictures]
        return "non-local means", np.stack(images)
    return None


def _sharpened(picture: np.ndarray) -> np.ndarray:
    # Counted from the end, scikit-image 0.26 takes another axis and leaves most pixels unset.
    return filters.unsharp_mask(np.clip(picture, 0, 1), radius=1, amount=1, channel_axis=2)


def _without_noise(picture: np.ndarray) -> np.ndarray:
    sigma = float(np.mean(restoration.estimate_sigma(picture, channel_axis=-1)))
    cleaned = restoration.denoise_nl_means(
        picture, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1
    )
    return cleaned.reshape(picture.shape)
