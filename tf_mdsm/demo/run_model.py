"""A run's folder as a model of the demonstration: with its chain, and with its images."""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.demo.models import Drawn, Model, require_pictures
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.image_record import build_images_of_run
from tf_mdsm.runs.run import Run, load
from tf_mdsm.samplers.base import Method, NoiseGridMethod
from tf_mdsm.samplers.chain import Chain, compile_chain, require_finite
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.weightings import trains_denoiser

__all__ = ["RunModel"]


class RunModel(Model):
    """A run of the command line, loaded.

    Args:
        folder: the run's folder. Nothing is written into it.

    Raises:
        InvalidArgument: if it is no run, or one of points of the plane.
        RunError: if the checkpoint cannot be read.
    """

    # States of a chain that are shown, about.
    _STATES = 40

    def __init__(self, folder: str):
        super().__init__()
        self._run: Run = load(folder)
        self._samplers: dict[int | None, Callable[..., Chain]] = {}
        self.image_shape = require_pictures(self._run.target.image_shape)
        self.title = f"{os.path.basename(os.path.realpath(folder))}, step {self._run.step}"
        weighting = self._run.model.noise.weighting
        if not trains_denoiser(weighting):
            self.lacks = (
                f"It is no denoiser, as it was trained with noise.weighting={weighting}: images "
                "under Denoise are not clean ones, and noise levels are not those of the images.",
            )
        if isinstance(self._run.method, NoiseGridMethod):
            self.fine_steps = (self._STATES,)

    def draw(self, seeds: range, steps: int | None = None) -> Drawn:
        with self.lock:
            chain = self._sampler(steps)(seeds)
        require_finite(chain)
        return Drawn(chain.states, chain.energy)

    def fill_in(self, image: np.ndarray, mask: np.ndarray, seeds: range) -> np.ndarray:
        images = np.repeat(np.asarray(image, np.float32)[None], len(seeds), axis=0)
        known = np.repeat(mask[None, ..., None].astype(np.float32), len(seeds), axis=0)
        with self.lock:
            return self._inpainter(images, known, np.asarray(seeds, np.int64)).numpy()

    def denoise(self, images: np.ndarray) -> np.ndarray:
        with self.lock:
            return batchwise(self._run.model.denoise, images, batch_size=64)

    def energy(self, images: np.ndarray) -> np.ndarray:
        with self.lock:
            return batchwise(self._run.model.energy, images, batch_size=64)

    def own_images(self) -> dict[str, np.ndarray]:
        """The run's training and validation images, float32 [N, H, W, C], by name.

        Raises:
            InvalidArgument: if they cannot be read, are others than those it was trained on, or
                have another size than its samples.
            RunError: if the record of the run's images cannot be read.
        """
        training, validation = build_images_of_run(self._run.config, self._run.folder)
        if training.shape[1:] != self.image_shape:
            field = "config.sampling.image_size"
            side = self._run.config.sampling.image_size
            raise InvalidArgument(field, f"be {training.shape[1]}, the side of its images", side)
        images = {"training images": training, "validation images": validation}
        return {name: to_float_array(array) for name, array in images.items() if len(array)}

    def _method(self, steps: int | None) -> Method:
        """The run's own method, or the same in so many steps."""
        method = self._run.method
        if steps is None or not isinstance(method, NoiseGridMethod):
            return method
        first, last = float(method.sigmas[0]), float(method.sigmas[-1])
        return dataclasses.replace(method, sigmas=falling_sigmas(first, last, steps + 1))

    def _sampler(self, steps: int | None) -> Callable[..., Chain]:
        """The chain in so many steps, compiled at its first use."""
        if steps not in self._samplers:
            method = self._method(steps)
            show_every = max(1, method.num_steps // self._STATES)
            self._samplers[steps] = compile_chain(self._run.target, method, show_every)
        return self._samplers[steps]

    @functools.cached_property
    def _inpainter(self) -> Callable[..., tf.Tensor]:
        """The run's method of restoration, compiled for any mask."""
        target = self._run.target
        method = self._run.restoration_method
        shape = target.image_shape
        signature = [
            tf.TensorSpec([None, *shape], tf.float32),
            tf.TensorSpec([None, *shape[:2], 1], tf.float32),
            tf.TensorSpec([None], tf.int64),
        ]

        @tf.function(input_signature=signature, autograph=False)
        def inpaint(images, mask, seeds):
            return method.inpaint(target, images, mask, seeds)

        return inpaint
