"""What a training run shows of itself."""

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.energy_model import NUM_BANDS, EnergyModel
from tf_mdsm.samplers.chain import Chain
from tf_mdsm.training.tensorboard import EventWriter
from tf_mdsm.visualization import model_views as views
from tf_mdsm.visualization.images import to_uint8, write_png

__all__ = ["SampleDistance", "TrainingMonitor"]


class _StopRequested(Exception):
    """Leaves a chain that is being drawn."""


@dataclasses.dataclass(frozen=True)
class SampleDistance:
    """How a few samples are compared with the reference images.

    Attributes:
        count: samples that are drawn.
        distance: images, uint8 [count, H, W, C], to a number; lower is better.
        name: of the features that are compared.
        measure: all that distances follow from but the weights.
    """

    count: int
    distance: Callable[[np.ndarray], float]
    name: str
    measure: str


class TrainingMonitor:
    """Scalars, held-out loss and pictures, to TensorBoard and `samples_folder`.

    Args:
        model: the model that is being trained.
        monitor: where events go.
        held_out: images to look at, uint8 or float [N, H, W, C].
        batch_size: images of one update.
        sample: seeds and a callback to a chain.
        seeds: of the previews' images.
        samples_folder: where previews are written.
        true_energy: points to energies, where known.
        appraisal: how samples are compared with the reference images, if they are.
    """

    def __init__(
        self,
        model: EnergyModel,
        monitor: EventWriter,
        held_out: np.ndarray,
        batch_size: int,
        sample: Callable[..., Chain],
        seeds: Sequence[int],
        samples_folder: str,
        true_energy: Callable | None = None,
        appraisal: SampleDistance | None = None,
    ):
        self.monitor = monitor
        self._model, self._sample, self._seeds = model, sample, seeds
        self._held_out = to_float(tf.constant(held_out))
        self._batch_size, self._samples_folder = batch_size, samples_folder
        self._true_energy, self._appraisal = true_energy, appraisal
        self._images, self._seconds = 0, 0.0
        self._held_out_losses = tf.function(model.validation_losses, autograph=False)
        self._energy = tf.function(model.energy, autograph=False)

    def count(self, steps: int, seconds: float) -> None:
        self._images += steps * self._batch_size
        self._seconds += seconds

    def log(self, step: int) -> None:
        """Means since the last time; all workers together, as the means are over all of them."""
        model = self._model
        scalars = {metric.name: metric.result() for metric in model.metrics}
        bands = scalars.pop("loss_per_band").numpy()
        band_of_level = np.arange(model.noise.num_levels) * NUM_BANDS // model.noise.num_levels
        for band in np.unique(band_of_level):
            sigmas = model.noise.sigmas[band_of_level == band]
            scalars[f"loss_by_sigma/{sigmas[0]:.3g}-{sigmas[-1]:.3g}"] = bands[band]
        scalars["learning_rate"] = tf.convert_to_tensor(model.optimizer.learning_rate)
        scalars["images_per_second"] = self._images / max(self._seconds, 1e-9)
        self.monitor.scalars(scalars, step)
        model.reset_metrics()
        self._images, self._seconds = 0, 0.0

    def validate(self, step: int) -> None:
        """Held-out loss, energies of three kinds of image, and the denoising strip."""
        losses = [
            self._held_out_losses(batch, tf.constant(number))
            for number, batch in enumerate(self._in_batches(self._held_out))
        ]
        generator = np.random.default_rng(0)
        shape = self._held_out.shape
        noise = generator.standard_normal(shape).astype(np.float32)
        kinds = {
            "clean": self._held_out,
            "noisy": self._held_out + self._model.noise.sigma_max * noise,
            "uniform": tf.constant(generator.uniform(size=shape).astype(np.float32)),
        }
        scalars = {"held_out_loss": np.concatenate(losses).mean()}
        for kind, images in kinds.items():
            energies = [self._energy(batch) for batch in self._in_batches(images)]
            scalars[f"energy/{kind}"] = np.concatenate(energies).mean()
        self.monitor.scalars(scalars, step)
        if not views.is_points(self._model.image_shape):
            strip = views.denoising_strip(self._model, self._held_out[:8].numpy())
            self.monitor.picture("clean_noisy_denoised", strip, step)

    def preview(self, step: int, stop_requested: Callable[[], bool]) -> None:
        """A few samples, to TensorBoard and samples/; given up when the run is to stop.

        An energy in the middle of its training may send chains to infinity: nothing to show.
        """

        def give_up_if_stopped(_: int) -> None:
            if stop_requested():
                raise _StopRequested

        try:
            chain = self._sample(self._seeds, give_up_if_stopped)
        except _StopRequested:
            return
        if not np.isfinite(chain.images).all():
            return
        picture = views.samples_picture(self._model, chain.images, self._true_energy)
        self.monitor.picture("samples", picture, step)
        write_png(picture, os.path.join(self._samples_folder, f"step_{step:08d}.png"))

    def appraise(
        self,
        step: int,
        keep_if_best: Callable[[float, str], None],
        stop_requested: Callable[[], bool],
    ) -> None:
        """The distance of a few samples to the reference images, to TensorBoard and to
        `keep_if_best`; given up when the run is to stop, or a chain leaves the finite numbers."""
        appraisal, images = self._appraisal, []
        for first in range(0, appraisal.count, self._batch_size):
            if stop_requested():
                return
            seeds = np.arange(first, min(first + self._batch_size, appraisal.count))
            images.append(self._sample(self._seeds[0] + seeds).images)
        drawn = np.concatenate(images)
        if not np.isfinite(drawn).all():
            return
        distance = appraisal.distance(to_uint8(drawn))
        self.monitor.scalars({f"distance/{appraisal.name}": distance}, step)
        keep_if_best(distance, appraisal.measure)

    def _in_batches(self, images: tf.Tensor) -> list[tf.Tensor]:
        size = self._batch_size
        return [images[first : first + size] for first in range(0, len(images), size)]
