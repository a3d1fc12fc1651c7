"""What the page asks of a model, wherever it runs; and models that run behind requests."""

import abc
import dataclasses
import threading

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving.requests import EnergyRequests

__all__ = ["Drawn", "Model", "RequestsModel", "require_pictures"]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Images that were drawn.

    Attributes:
        states: the images on their way from noise, float32 [n, B, H, W, C], the last the final
            ones. Where only these are known, n is 1.
        energies: energies of the final images, float32 [B].
    """

    states: np.ndarray
    energies: np.ndarray


class Model(abc.ABC):
    """A trained energy, for one visitor at a time: a lock lets the others wait.

    Images are float32 [B, H, W, C], pixels in [0, 1] or around it.

    Attributes:
        title: what it is, for the head of the page.
        image_shape: height, width and channels of all images.
        lacks: sentences about what it cannot do.
        fine_steps: numbers of steps that `draw` may be given besides None.
    """

    title: str
    image_shape: tuple[int, int, int]
    lacks: tuple[str, ...] = ()
    fine_steps: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.lock = threading.Lock()

    @abc.abstractmethod
    def draw(self, seeds: range, steps: int | None = None) -> Drawn:
        """Draws one image for each seed, in the model's own steps or in so many."""

    @abc.abstractmethod
    def fill_in(self, image: np.ndarray, mask: np.ndarray, seeds: range) -> np.ndarray:
        """Images [n, H, W, C] that agree with one image [H, W, C] where the mask [H, W] is true."""

    @abc.abstractmethod
    def denoise(self, images: np.ndarray) -> np.ndarray:
        """Denoised images D(x), [B, H, W, C]."""

    @abc.abstractmethod
    def energy(self, images: np.ndarray) -> np.ndarray:
        """Energies E(x), [B]."""


class RequestsModel(Model):
    """An export, or a server of one.

    Args:
        requests: the export or the server's client.
        title: what it is.
    """

    lacks = (
        "It returns final images only: start it from a run's folder to watch the chain from "
        "noise to image.",
    )

    def __init__(self, requests: EnergyRequests, title: str):
        super().__init__()
        self.title = title
        self.image_shape = require_pictures(requests.sample_shape)
        self._requests = requests

    def draw(self, seeds: range, steps: int | None = None) -> Drawn:
        del steps
        with self.lock:
            images, energies = self._requests.sample(seeds)
        return Drawn(images[None], energies)

    def fill_in(self, image: np.ndarray, mask: np.ndarray, seeds: range) -> np.ndarray:
        count = len(seeds)
        # What is unknown may be any number; what is known lies in [0, 1].
        images = np.repeat(np.clip(image, 0, 1)[None], count, axis=0)
        known = np.repeat(mask[None, ..., None].astype(np.float32), count, axis=0)
        with self.lock:
            return self._requests.inpaint(images, known, seeds)

    def denoise(self, images: np.ndarray) -> np.ndarray:
        with self.lock:
            return self._requests.denoise(images)

    def energy(self, images: np.ndarray) -> np.ndarray:
        with self.lock:
            return self._requests.energy(images)


def require_pictures(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape of a model's images, if these can be looked at.

    Raises:
        InvalidArgument: for points of a plane, and for other channels than gray or color.
    """
    height, width, channels = shape
    if channels not in (1, 3) or min(height, width) < 2:
        raise InvalidArgument("SOURCE", "be a model of gray or color images", list(shape))
    return height, width, channels
