"""Image quality compared with the original: PSNR and SSIM."""

import numpy as np
from skimage import metrics

__all__ = ["psnr", "psnr_and_ssim", "ssim"]


def psnr(originals: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image in decibels, [N].

    Args:
        originals: [N, H, W, C] in [0, 1].
        restored: [N, H, W, C], clipped to [0, 1] here.
    """
    pairs = zip(originals, restored, strict=True)
    errors = (np.mean((one - np.clip(other, 0, 1)) ** 2) for one, other in pairs)
    return np.array([10 * np.log10(1 / max(error, 1e-12)) for error in errors])


def ssim(originals: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, in windows of up to 7 pixels, [N].

    Args:
        originals: [N, H, W, C] in [0, 1].
        restored: [N, H, W, C], clipped to [0, 1] here.
    """
    window = min(7, *(side - 1 + side % 2 for side in originals.shape[1:3]))
    return np.array(
        [
            metrics.structural_similarity(
                one, np.clip(other, 0, 1), win_size=window, channel_axis=-1, data_range=1.0
            )
            for one, other in zip(originals, restored, strict=True)
        ]
    )


def psnr_and_ssim(
    originals: np.ndarray, methods: dict[str, np.ndarray]
) -> dict[str, dict[str, object]]:
    """PSNR and SSIM of the images that several methods have restored.

    Args:
        originals: [N, H, W, C] in [0, 1].
        methods: name of a method to its images, [N, H, W, C].

    Returns:
        name of a method to the means `psnr` and `ssim`, and the lists `psnr_of_each` and
        `ssim_of_each` of all images.
    """
    quality = {}
    for name, images in methods.items():
        decibels, similarity = psnr(originals, images), ssim(originals, images)
        quality[name] = {
            "psnr": float(decibels.mean()),
            "ssim": float(similarity.mean()),
            "psnr_of_each": decibels.round(3).tolist(),
            "ssim_of_each": similarity.round(4).tolist(),
        }
    return quality
