"""How near a restored image is to the original, and what standard methods reach."""

import numpy as np
from skimage import filters, metrics, restoration, transform

from tf_mdsm.restoration.tasks import Task

__all__ = ["psnr", "scores", "ssim", "standard_method"]


def psnr(originals: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, clipped to [0, 1], in decibels [N]."""
    pairs = zip(originals, np.clip(restored, 0, 1), strict=True)
    return np.array(
        [10 * np.log10(1 / max(np.mean((one - other) ** 2), 1e-12)) for one, other in pairs]
    )


def ssim(originals: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, clipped to [0, 1], in windows of up to 7 pixels, [N]."""
    window = min(7, *(side - 1 + side % 2 for side in originals.shape[1:3]))
    return np.array(
        [
            metrics.structural_similarity(
                one, other, win_size=window, channel_axis=-1, data_range=1.0
            )
            for one, other in zip(originals, np.clip(restored, 0, 1), strict=True)
        ]
    )


def scores(originals: np.ndarray, methods: dict[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """PSNR and SSIM, mean and of each image, of what several methods made, [N, H, W, C] each."""
    found = {}
    for name, images in methods.items():
        decibels, similarity = psnr(originals, images), ssim(originals, images)
        found[name] = {
            "psnr": float(decibels.mean()),
            "ssim": float(similarity.mean()),
            "psnr_of_each": decibels.round(3).tolist(),
            "ssim_of_each": similarity.round(4).tolist(),
        }
    return found


def standard_method(task: Task, pictures: np.ndarray) -> tuple[str, np.ndarray] | None:
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
