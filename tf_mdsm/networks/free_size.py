"""Layers of a U-Net for images of any size: mirrored borders, cropping, patches."""
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false
# (keras.ops is annotated as returning None)

from typing import Any

import keras
from keras import layers, ops

__all__ = ["CropLike", "CutPatches", "JoinPatches", "MirrorPadding"]


@keras.saving.register_keras_serializable("tf_mdsm")
class MirrorPadding(layers.Layer):
    """Continues images by their mirror image to sides that a number divides, [B, H, W, C].

    It adds less than `multiple` rows below and columns at the right. The last row and column, the
    mirror, are not repeated. Images whose sides are multiples stay as they are.

    Args:
        multiple: what shall divide height and width.
        reach: how far the network's guess of a pixel looks, in pixels of the padded image
            (`architectures.UNetStructure.reach`). The layer does not use it: it is kept here
            because whoever divides an image into tiles must know it, also of a loaded network.
    """

    def __init__(self, multiple: int, reach: int, **kwargs):
        super().__init__(**kwargs)
        self.multiple, self.reach = multiple, reach

    @property
    def smallest_side(self) -> int:
        """Height and width that images must have: a side is mirrored once at most."""
        return self.multiple // 2 + 1

    def call(self, images: Any) -> Any:
        """Adds the rows and columns that are missing."""
        below, right = (-side % self.multiple for side in ops.shape(images)[1:3])
        if isinstance(below, int) and isinstance(right, int) and not (below or right):
            return images
        return ops.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="reflect")

    def compute_output_shape(self, shape: tuple) -> tuple:
        """The padded shape; None stays None."""
        sides = (side and side + -side % self.multiple for side in shape[1:3])
        return shape[0], *sides, shape[3]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {**super().get_config(), "multiple": self.multiple, "reach": self.reach}


@keras.saving.register_keras_serializable("tf_mdsm")
class CropLike(layers.Layer):
    """Cuts the second of two images to the first one's height and width, from the upper left."""

    def call(self, inputs: Any) -> Any:
        """Crops [B, H', W', C'] to [B, H, W, C'], for a first image [B, H, W, C]."""
        images, padded = inputs
        height, width = ops.shape(images)[1:3]
        return padded if padded.shape[1:3] == (height, width) else padded[:, :height, :width]

    def compute_output_shape(self, shapes: Any) -> tuple:
        """[B, H, W, C']."""
        images, padded = shapes
        return *images[:3], padded[3]


class _Patches(layers.Layer):
    """Base class of two layers that are each other's inverse.

    Args:
        size: side of the square patches.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("tf_mdsm")
class CutPatches(_Patches):
    """As `layers.to_patches`, for any size: [B, H, W, C] to [B, H/size, W/size, size^2 C]."""

    def call(self, images: Any) -> Any:
        """Turns each size x size patch of pixels into one pixel with more channels."""
        count, height, width, channels = ops.shape(images)
        rows, columns = height // self.size, width // self.size
        cut = ops.reshape(images, (count, rows, self.size, columns, self.size, channels))
        sorted_ = ops.transpose(cut, (0, 1, 3, 2, 4, 5))
        return ops.reshape(sorted_, (count, rows, columns, self.size**2 * channels))

    def compute_output_shape(self, shape: tuple) -> tuple:
        """[B, H/size, W/size, size^2 C]; None stays None."""
        sides = (side and side // self.size for side in shape[1:3])
        return shape[0], *sides, self.size**2 * shape[3]


@keras.saving.register_keras_serializable("tf_mdsm")
class JoinPatches(_Patches):
    """The inverse of `CutPatches`: [B, H, W, size^2 C] to [B, size H, size W, C]."""

    def call(self, pixels: Any) -> Any:
        """Turns each pixel into size x size pixels with fewer channels."""
        count, rows, columns, channels = ops.shape(pixels)
        channels //= self.size**2
        cut = ops.reshape(pixels, (count, rows, columns, self.size, self.size, channels))
        sorted_ = ops.transpose(cut, (0, 1, 3, 2, 4, 5))
        return ops.reshape(sorted_, (count, rows * self.size, columns * self.size, channels))

    def compute_output_shape(self, shape: tuple) -> tuple:
        """[B, size H, size W, C]; None stays None."""
        sides = (side and side * self.size for side in shape[1:3])
        return shape[0], *sides, shape[3] // self.size**2
