"""Images of other sizes with the same pixels. Pure Keras 3.

Of reshaping and joining alone: Keras' own repetition tiles an array of five axes, which took half
of a training step on a CPU.
"""

from keras import layers

__all__ = ["from_patches", "repeat", "to_patches"]


def repeat(x, dtype: str, name: str):
    """Each pixel as 2x2 equal ones: [B, H, W, C] to [B, 2H, 2W, C]."""
    height, width, channels = x.shape[1:]
    x = layers.Concatenate(dtype=dtype, name=f"{name}_columns")([x, x])
    x = layers.Reshape((height, 1, 2 * width * channels), dtype=dtype, name=f"{name}_row")(x)
    x = layers.Concatenate(axis=2, dtype=dtype, name=f"{name}_rows")([x, x])
    return layers.Reshape((2 * height, 2 * width, channels), dtype=dtype, name=name)(x)


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
