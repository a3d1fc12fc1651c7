"""Squares of pixels as one pixel of more channels, and back. Pure Keras 3."""

from keras import layers

__all__ = ["from_patches", "to_patches"]


def to_patches(x, size: int, dtype: str, name: str):
    """Each size x size square as one pixel: [B, H, W, C] to [B, H/size, W/size, size^2 C]."""
    if size == 1:
        return x
    height, width, channels = x.shape[1:]
    rows, columns = height // size, width // size
    cut = layers.Reshape((rows, size, columns, size, channels), dtype=dtype, name=f"{name}_cut")(x)
    cut = layers.Permute((1, 3, 2, 4, 5), dtype=dtype, name=f"{name}_sort")(cut)
    return layers.Reshape((rows, columns, size**2 * channels), dtype=dtype, name=name)(cut)


def from_patches(x, size: int, dtype: str, name: str):
    """The way back: [B, H, W, size^2 C] to [B, size H, size W, C]."""
    if size == 1:
        return x
    rows, columns, channels = x.shape[1:]
    channels //= size**2
    cut = layers.Reshape((rows, columns, size, size, channels), dtype=dtype, name=f"{name}_cut")(x)
    cut = layers.Permute((1, 3, 2, 4, 5), dtype=dtype, name=f"{name}_sort")(cut)
    return layers.Reshape((rows * size, columns * size, channels), dtype=dtype, name=name)(cut)
