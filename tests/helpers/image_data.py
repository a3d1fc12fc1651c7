"""Images for tests of data sets: random pixels, and the bytes of IDX files."""

import struct

import numpy as np


def random_uint8(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)


def idx_bytes(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes: labels [N], or images [N, H, W]."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.tobytes()
