"""Image quality against the original: PSNR and SSIM."""

import numpy as np
from skimage import metrics

__all__ = ["psnr", "scores", "ssim"]


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
