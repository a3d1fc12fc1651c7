"""Requests to a trained energy wherever it runs: the methods that all clients share."""

import abc
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving.request_checks import (
    checked_images,
    checked_mask,
    checked_seeds,
    require_known_in_range,
)

__all__ = ["EnergyRequests", "in_parts"]


class EnergyRequests(abc.ABC):
    """Samples, energies, scores, denoised images, noise levels and inpainting of an export.

    Images are float32 [B, H, W, C] for any B >= 1; 0 is black and 1 is white. Pixels are any finite
    numbers, as noisy images have them, but known pixels of `inpaint` lie in [0, 1]. Every method
    raises `InvalidArgument` for arguments of another shape, type or range, before anything is
    computed.
    """

    @property
    @abc.abstractmethod
    def image_shape(self) -> tuple[int | None, int | None, int]:
        """Height, width and channels of the model's images; None for any height and width."""

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images of `sample` and `inpaint`."""
        height, width, channels = self.image_shape
        if height is None or width is None:
            raise NotImplementedError("a model of images of any size names the size of its samples")
        return height, width, channels

    @abc.abstractmethod
    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: arrays [B, ...] by name.
            shapes: shape of one image's output, by name.

        Returns:
            arrays [B, *shape] by name.
        """

    def sample(self, seeds: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Samples one image for each seed.

        Args:
            seeds: integers [B], each in [0, 2^62]. The random bits depend on the seed only. The
                same program on the same kind of processor makes the same noise of them, bit for
                bit. In a batch of another size the pixels may differ by rounding.

        Returns:
            images [B, H, W, C] in [0, 1] and their energies [B].
        """
        inputs = {"seed": checked_seeds(seeds)}
        outputs = self.run("sample", inputs, {"images": self.sample_shape, "energy": ()})
        return outputs["images"], outputs["energy"]

    def energy(self, images: npt.ArrayLike) -> np.ndarray:
        """Energies E(x) of images, [B]; low for images that are like the training images."""
        inputs = {"images": checked_images(images, self.image_shape)}
        return self.run("energy", inputs, {"energy": ()})["energy"]

    def score(self, images: npt.ArrayLike) -> np.ndarray:
        """Scores of images, the negative gradient -dE/dx of the energy, [B, H, W, C]."""
        inputs = {"images": checked_images(images, self.image_shape)}
        return self.run("score", inputs, {"score": inputs["images"].shape[1:]})["score"]

    def denoise(self, images: npt.ArrayLike) -> np.ndarray:
        """Denoised images D(x), [B, H, W, C], not clipped to [0, 1]."""
        inputs = {"images": checked_images(images, self.image_shape)}
        return self.run("denoise", inputs, {"images": inputs["images"].shape[1:]})["images"]

    def noise_level(self, images: npt.ArrayLike) -> np.ndarray:
        """Estimated noise levels of images, [B], in pixel units; on average below the true ones.

        SavedModels of earlier states of the code do not have it.
        """
        inputs = {"images": checked_images(images, self.image_shape)}
        return self.run("noise_level", inputs, {"noise_level": ()})["noise_level"]

    def inpaint(
        self, images: npt.ArrayLike, mask: npt.ArrayLike, seeds: npt.ArrayLike
    ) -> np.ndarray:
        """Samples the unknown pixels of images; known pixels are returned exactly.

        Args:
            images: [B, *sample_shape]. Known pixels lie in [0, 1]; unknown ones are any finite
                numbers.
            mask: [B, H, W, 1], 1 where the image is known, else 0.
            seeds: one integer per image, [B], each in [0, 2^62].

        Returns:
            images [B, H, W, C] in [0, 1].
        """
        images = checked_images(images, self.sample_shape)
        mask = checked_mask(mask, images)
        require_known_in_range(images, mask)
        seeds = checked_seeds(seeds)
        if len(seeds) != len(images):
            raise InvalidArgument("seeds", f"be one integer per image ({len(images)})", len(seeds))
        inputs = {"images": images, "mask": mask, "seed": seeds}
        return self.run("inpaint", inputs, {"images": self.sample_shape})["images"]


def in_parts(inputs: Mapping[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of a request, arrays [B, ...] by name, in parts of at most so many images."""
    count = len(next(iter(inputs.values())))
    for first in range(0, count, size):
        yield {name: array[first : first + size] for name, array in inputs.items()}
