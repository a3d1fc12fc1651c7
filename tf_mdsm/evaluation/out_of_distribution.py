"""Out-of-distribution detection by an energy: outlier scores, AUROC and AUPR; images to detect.

Outliers are the positive class, and a higher outlier score means more of an outlier. Images that
are simpler than the training images (mostly black ones, for example) may have lower ones. So an
area near 0 is no mistake. The score -dE/dx is another thing.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from sklearn import metrics

from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.errors import InvalidArgument

__all__ = [
    "EnergyAndScoreFn",
    "constant_images",
    "detection_metrics",
    "detection_scores",
    "shuffled_patches",
    "uniform_noise",
    "upside_down",
]

# Images [B, H, W, C] to energies [B] and scores -dE/dx [B, H, W, C].
EnergyAndScoreFn = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def detection_scores(
    energy_and_score_fn: EnergyAndScoreFn,
    images: np.ndarray,
    sigma0: float | None,
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    """Outlier scores: numbers that are high for outliers, from one gradient evaluation an image.

    The last two are one number in two units, and rank images alike: since
    x - D(x) = sigma0^2 dE/dx, the noise level is sigma0^2 / sqrt(d) times the gradient norm. A
    table needs only one of them.

    Args:
        energy_and_score_fn: images, float32 [B, H, W, C], to E(x) [B] and -dE/dx [B, H, W, C].
        images: uint8, or float in [0, 1], [N, H, W, C].
        sigma0: the kernel width in D(x) = x - sigma0^2 dE/dx, in pixel units; None if D is no
            denoiser: then there is no noise level.
        batch_size: images at a time.

    Returns:
        `energy`, E(x); `gradient_norm`, |dE/dx|; `noise_level`, the estimated level
        |x - D(x)| / sqrt(d) of the noise in the image, in pixel units; float64 [N] each.

    Raises:
        InvalidArgument: for an array that is empty or has not four axes.
    """
    if np.ndim(images) != 4 or not len(images):
        raise InvalidArgument("images", "be [N, H, W, C], at least one", list(np.shape(images)))
    energies, norms = [], []
    for first in range(0, len(images), batch_size):
        batch = to_float(tf.constant(images[first : first + batch_size]))
        energy, score = energy_and_score_fn(batch)
        energies.append(np.asarray(energy, np.float64))
        flat = np.asarray(score, np.float64).reshape(len(batch), -1)
        norms.append(np.linalg.norm(flat, axis=1))
    norm = np.concatenate(norms)
    scores = {"energy": np.concatenate(energies), "gradient_norm": norm}
    if sigma0 is not None:
        scores["noise_level"] = sigma0**2 * norm / np.sqrt(np.prod(images.shape[1:]))
    return scores


def detection_metrics(inliers: np.ndarray, outliers: np.ndarray) -> dict[str, float]:
    """AUROC and AUPR of an outlier score, which should be higher for outliers than for inliers.

    Args:
        inliers: outlier scores of validation images, [N].
        outliers: those of out-of-distribution images, the positive class, [M].

    Returns:
        `auroc`, the probability that an outlier has the higher one (0.5 is chance); `aupr`,
        the average precision (chance is the fraction of outliers, M / (N + M)).

    Raises:
        InvalidArgument: for an empty array, or scores that are not finite.
    """
    for name, scores in (("inliers", inliers), ("outliers", outliers)):
        if not len(scores):
            raise InvalidArgument(name, "hold at least one score", "none")
        if not np.isfinite(scores).all():
            raise InvalidArgument(name, "hold finite scores", "NaN or infinity")
    is_outlier = np.repeat([0, 1], [len(inliers), len(outliers)])
    scores = np.concatenate([inliers, outliers])
    return {
        "auroc": float(metrics.roc_auc_score(is_outlier, scores)),
        "aupr": float(metrics.average_precision_score(is_outlier, scores)),
    }


def uniform_noise(images: np.ndarray, seed: int) -> np.ndarray:
    """Images of independent pixels, uniform in [0, 1], shaped as `images`, float32 [N, H, W, C]."""
    return np.random.default_rng(seed).uniform(size=images.shape).astype(np.float32)


def constant_images(images: np.ndarray, seed: int) -> np.ndarray:
    """Images of a single color, uniform in [0, 1]^C, shaped as `images`, float32 [N, H, W, C]."""
    count, *_, channels = images.shape
    colors = np.random.default_rng(seed).uniform(size=(count, 1, 1, channels))
    return np.broadcast_to(colors, images.shape).astype(np.float32)


def upside_down(images: np.ndarray) -> np.ndarray:
    """The images [N, H, W, C] upside down: the same pixels in mirrored neighborhoods."""
    return images[:, ::-1].copy()


def shuffled_patches(images: np.ndarray, patch: int, seed: int) -> np.ndarray:
    """The images cut into square patches that change places; no patch stays in its place.

    The content of a window of a patch's size stays the same, the image as a whole does not.

    Args:
        images: [N, H, W, C].
        patch: side of the patches, in pixels.
        seed: seed of the order, which differs between images.

    Returns:
        an array of the same shape and type.

    Raises:
        InvalidArgument: unless height and width are multiples of `patch`, with at least two
            patches.
    """
    count, height, width, channels = images.shape
    rows, columns = (size // patch if patch > 0 else 0 for size in (height, width))
    if (rows * patch, columns * patch) != (height, width) or rows * columns < 2:
        fitting = f"divide {height} x {width} images into two patches at least"
        raise InvalidArgument("patch", fitting, patch)

    # Patches in rows, [N, places, patch, patch, C].
    cut = images.reshape(count, rows, patch, columns, patch, channels).swapaxes(2, 3)
    cut = cut.reshape(count, rows * columns, patch, patch, channels)

    # Each patch moves to the next place on a random tour of all places.
    generator, places = np.random.default_rng(seed), np.arange(rows * columns)
    tour = generator.permuted(np.broadcast_to(places, cut.shape[:2]), axis=1)
    image = np.arange(count)[:, None]
    moved = np.empty_like(cut)
    moved[image, np.roll(tour, -1, axis=1)] = cut[image, tour]

    # Back to images.
    moved = moved.reshape(count, rows, columns, patch, patch, channels).swapaxes(2, 3)
    return moved.reshape(images.shape)
