"""Small valid requests for every signature of an export: for warming up, and for comparisons."""

import numpy as np

__all__ = ["example_requests"]


def example_requests(
    image_shape: tuple[int, int, int], batch_size: int = 1
) -> dict[str, dict[str, np.ndarray]]:
    """One valid request for each method of `EnergyFunctions`.

    Args:
        image_shape: height, width and channels of the model's images.
        batch_size: number of images in a request.

    Returns:
        {signature: {input: array}}.
    """
    random = np.random.default_rng(0)
    images = random.uniform(size=(batch_size, *image_shape)).astype(np.float32)
    mask = np.zeros((batch_size, *image_shape[:2], 1), np.float32)
    mask[:, : (image_shape[0] + 1) // 2] = 1
    seed = np.arange(batch_size, dtype=np.int64)
    return {
        "sample": {"seed": seed},
        "energy": {"images": images},
        "score": {"images": images},
        "denoise": {"images": images},
        "noise_level": {"images": images},
        "inpaint": {"images": images, "mask": mask, "seed": seed},
    }
