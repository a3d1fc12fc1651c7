"""Baselines: scikit-image's methods for inpainting, super-resolution, deblurring, denoising."""

from typing import Any

import numpy as np
from skimage import filters, restoration, transform

from tf_mdsm.restoration.operators import Downsampling, LowPass
from tf_mdsm.restoration.tasks import Task

__all__ = ["baseline_solution"]


def baseline_solution(task: Task, measured: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Restores images by scikit-image's method for a task.

    Args:
        task: the task.
        measured: the values as images of full size, [N, H, W, C].

    Returns:
        the name of the method, and the restored images [N, H, W, C]; None where scikit-image has
        no method (random projections, colorization).
    """
    if task.operator is None:
        return "non-local means", np.stack([_denoise(image) for image in measured])
    if task.mask is not None:
        missing = task.mask[..., 0] < 0.5
        images: list[Any] = [
            restoration.inpaint_biharmonic(image, missing, channel_axis=-1) for image in measured
        ]
        return "biharmonic inpainting", np.stack(images)
    if isinstance(task.operator, Downsampling):
        small = measured[:, :: task.operator.factor, :: task.operator.factor]
        images = [transform.resize(image, measured.shape[1:], order=3) for image in small]
        return "bicubic interpolation", np.stack(images)
    if isinstance(task.operator, LowPass):
        return "unsharp masking", np.stack([_sharpen(image) for image in measured])
    return None


def _sharpen(image: np.ndarray) -> np.ndarray:
    # With `channel_axis=-1` scikit-image 0.26 uses a wrong axis and leaves most pixels unset.
    return filters.unsharp_mask(np.clip(image, 0, 1), radius=1, amount=1, channel_axis=2)


def _denoise(image: np.ndarray) -> np.ndarray:
    sigma = float(np.mean(restoration.estimate_sigma(image, channel_axis=-1)))
    denoised = restoration.denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, channel_axis=-1
    )
    return denoised.reshape(image.shape)
