"""Images as pictures for a browser: enlarged, in grids, as addresses that hold their own data."""

import base64
import io

import numpy as np
from PIL import Image

from tf_mdsm.visualization.images import image_grid, to_uint8

__all__ = ["data_address", "enlarged", "grid_address", "rank_sentence", "scale_of"]

# Side of an enlarged image on the page, about.
_SIDE = 320


def scale_of(image_shape: tuple[int, int, int]) -> int:
    """How many pixels of the page one pixel of an image takes in each direction."""
    return max(1, _SIDE // max(image_shape[:2]))


def enlarged(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C] in [0, 1] (clipped) as uint8, enlarged by `scale_of`."""
    scale = scale_of(image.shape)
    return to_uint8(image).repeat(scale, axis=0).repeat(scale, axis=1)


def data_address(pixels: np.ndarray) -> str:
    """A picture, uint8 [H, W, 1] or [H, W, 3], as the address of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def grid_address(images: np.ndarray, columns: int | None = None) -> str:
    """Images [N, H, W, C] in one grid, as the address of a PNG file."""
    return data_address(image_grid(images, columns))


def rank_sentence(energy: float, energies: dict[str, np.ndarray]) -> str:
    """Says of which share of each set of images an energy lies below."""
    shares = [
        f"of {np.mean(values > energy):.0%} of {len(values):,} {name}"
        for name, values in energies.items()
    ]
    if not shares:
        return f"E(x) = {energy:,.1f}."
    return f"E(x) = {energy:,.1f}. It is lower than the energy {' and '.join(shares)}."
