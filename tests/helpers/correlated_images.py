"""Images with correlated pixels, and the covariance of their statistics."""

import numpy as np

SHAPE = (4, 3, 2)


SIZE = 24


def correlated_images(count: int, dtype=np.float32) -> np.ndarray:
    """Images in [0, 1] with different means and correlated pixels."""
    generator = np.random.default_rng(3)
    mixing = generator.normal(size=(SIZE, SIZE)) * 0.9 ** np.arange(SIZE)
    flat = 0.5 + 0.05 * generator.normal(size=(count, SIZE)) @ mixing.T
    flat = np.clip(flat + 0.1 * np.sin(np.arange(SIZE)), 0, 1).reshape(-1, *SHAPE)
    return np.round(flat * 255).astype(np.uint8) if dtype == np.uint8 else flat.astype(np.float32)


def covariance_of(statistics) -> np.ndarray:
    directions = statistics.components.reshape(len(statistics.variances), -1).astype(np.float64)
    excess = statistics.variances - statistics.residual_variance
    size = directions.shape[1]
    return directions.T @ np.diag(excess) @ directions + statistics.residual_variance * np.eye(size)
