"""A model for the demonstration with known answers: E(x) = |x|²/2, and D(x) = x/2."""

import numpy as np

from tf_mdsm.demo.models import Drawn, Model


class KnownModel(Model):
    title = "known"
    image_shape = (8, 8, 1)
    fine_steps = (3,)

    def draw(self, seeds: range, steps: int | None = None) -> Drawn:
        images = np.stack([np.full(self.image_shape, seed / 100, np.float32) for seed in seeds])
        states = np.stack([images * share for share in np.linspace(0, 1, (steps or 1) + 1)])
        return Drawn(states, self.energy(images))

    def fill_in(self, image: np.ndarray, mask: np.ndarray, seeds: range) -> np.ndarray:
        return np.stack([np.where(mask[..., None], image, seed / 100) for seed in seeds])

    def denoise(self, images: np.ndarray) -> np.ndarray:
        return images / 2

    def energy(self, images: np.ndarray) -> np.ndarray:
        return (images**2).sum((1, 2, 3)) / 2
