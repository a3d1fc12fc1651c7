"""Monitoring of a training run: scalars, validation loss, preview samples, sample distance."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float, to_float_array
from tf_mdsm.distributed.batch_shares import BatchShare
from tf_mdsm.energy_model import NUM_BANDS, EnergyModel
from tf_mdsm.samplers.chain import Chain
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.training.tensorboard import EventWriter
from tf_mdsm.visualization.images import to_uint8, write_png
from tf_mdsm.visualization.model_views import denoising_strip, is_points, samples_picture

__all__ = ["Preview", "SampleDistance", "TrainingMonitor"]


class _StopRequested(Exception):
    """Ends a sampling run in the middle, because the training run is to stop."""


@dataclasses.dataclass(frozen=True)
class Preview:
    """How preview images are sampled and where their pictures go.

    Attributes:
        sample: a function of seeds and of a callback that is called with the number of steps
            just done, as `samplers.chain.compile_chain` makes it.
        seeds: one seed for each image of the preview.
        folder: where `step_NNNNNNNN.png` is written.
        true_energy: points [B, 1, 1, 2] to energies [B], for data whose distribution is known.
    """

    sample: Callable[..., Chain]
    seeds: Sequence[int] | np.ndarray
    folder: str
    true_energy: Callable | None = None


@dataclasses.dataclass(frozen=True)
class SampleDistance:
    """How a few samples are compared with the reference images during training.

    Attributes:
        num_samples: number of samples.
        compute: samples uint8 [num_samples, H, W, C] to their distance; lower is better.
        features: name of the features that are compared.
        definition: all that the distance depends on, except the weights; distances of different
            definitions are not compared.
    """

    num_samples: int
    compute: Callable[[np.ndarray], float]
    features: str
    definition: str


class TrainingMonitor:
    """Writes what a training run shows of itself to TensorBoard and to preview pictures.

    Args:
        model: the model in training.
        writer: TensorBoard's event files.
        validation_images: uint8 or float in [0, 1], [N, H, W, C].
        batch_size: images of one training step, over all replicas.
        images_at_once: images of a step that a replica works on at a time. Validation and sampling
            work on no more, so that they need no more memory than a step.
        preview: how preview images are sampled.
        sample_distance: how samples are compared with the reference images; None: they are not.
    """

    def __init__(
        self,
        *,
        model: EnergyModel,
        writer: EventWriter,
        validation_images: np.ndarray,
        batch_size: int,
        images_at_once: int,
        preview: Preview,
        sample_distance: SampleDistance | None = None,
    ):
        self._model, self._writer, self._preview = model, writer, preview
        self._validation_images, self._sample_distance = validation_images, sample_distance
        self._batch_size, self._images_at_once = batch_size, images_at_once
        self._images, self._seconds = 0, 0.0
        self._validation_losses = tf.function(
            lambda images, batch_number, place, size: model.validation_losses(
                images, batch_number, BatchShare(place, size)
            ),
            autograph=False,
        )
        self._energy = tf.function(model.energy, autograph=False)

    def count_steps(self, steps: int, seconds: float) -> None:
        """Counts training steps and the time that they took, for images per second."""
        self._images += steps * self._batch_size
        self._seconds += seconds

    def flush(self) -> None:
        """Writes all events to the file now."""
        self._writer.flush()

    def log(self, step: int) -> None:
        """Logs means since the last call: loss, gradient norm, loss by noise level, speed.

        All workers call this together, because the means are over all of them.
        """
        model = self._model
        scalars = {metric.name: metric.result() for metric in model.metrics}
        # The loss of each band of noise levels.
        loss_of_band = scalars.pop("loss_per_band").numpy()
        band_of_level = np.arange(model.noise.num_levels) * NUM_BANDS // model.noise.num_levels
        for band in np.unique(band_of_level):
            sigmas = model.noise.sigmas[band_of_level == band]
            scalars[f"loss_by_sigma/{sigmas[0]:.3g}-{sigmas[-1]:.3g}"] = loss_of_band[band]
        scalars["learning_rate"] = tf.convert_to_tensor(model.optimizer.learning_rate)
        scalars["images_per_second"] = self._images / max(self._seconds, 1e-9)
        self._writer.scalars(scalars, step)
        model.reset_metrics()
        self._images, self._seconds = 0, 0.0

    def validate(self, step: int) -> None:
        """Logs the validation loss, energies of three kinds of images, and a denoising strip."""
        losses = [
            self._losses_of_batch(number, self._validation_images[first : first + self._batch_size])
            for number, first in enumerate(range(0, len(self._validation_images), self._batch_size))
        ]
        scalars = {"validation_loss": np.concatenate(losses).mean()}
        for kind, parts in self._images_by_kind().items():
            energies = [self._energy(images) for images in parts]
            scalars[f"energy/{kind}"] = np.concatenate(energies).mean()
        self._writer.scalars(scalars, step)
        if not is_points(self._model.image_shape):
            images = to_float_array(self._validation_images[:8])
            strip = denoising_strip(self._model, images, batch_size=self._images_at_once)
            self._writer.picture("clean_noisy_denoised", strip, step)

    def preview(self, step: int, stop_requested: Callable[[], bool]) -> bool:
        """Samples a few images and shows them in TensorBoard and in the run's samples folder.

        Sampling ends early, and nothing is shown, when the run is to stop. Nothing is shown
        either if the images are not finite, as may happen in the middle of training.

        Returns:
            whether sampling came to its end.
        """

        def end_if_stopped(_: int) -> None:
            if stop_requested():
                raise _StopRequested

        try:
            end_if_stopped(0)
            images = self._sample(np.asarray(self._preview.seeds), end_if_stopped)
        except _StopRequested:
            return False
        if not np.isfinite(images).all():
            return True
        picture = samples_picture(self._model, images, self._preview.true_energy)
        self._writer.picture("samples", picture, step)
        write_png(picture, os.path.join(self._preview.folder, f"step_{step:08d}.png"))
        return True

    def evaluate_samples(
        self,
        step: int,
        keep_if_best: Callable[[float, str], None],
        stop_requested: Callable[[], bool],
    ) -> bool:
        """Logs the distance of a few samples to the reference images; keeps the best checkpoint.

        Sampling ends early when the run is to stop. Samples that are not finite are not compared.

        Args:
            step: the training step.
            keep_if_best: called with the distance and its definition.
            stop_requested: whether the run is to stop.

        Returns:
            whether sampling came to its end.
        """
        if self._sample_distance is None:
            raise ValueError("no sample distance was given to this monitor")
        distance, parts = self._sample_distance, []
        for first in range(0, distance.num_samples, self._images_at_once):
            if stop_requested():
                return False
            seeds = np.arange(first, min(first + self._images_at_once, distance.num_samples))
            images = self._sample(self._preview.seeds[0] + seeds)
            if not np.isfinite(images).all():
                return True
            parts.append(to_uint8(images))
        value = distance.compute(np.concatenate(parts))
        self._writer.scalars({f"distance/{distance.features}": value}, step)
        keep_if_best(value, distance.definition)
        return True

    def _sample(
        self, seeds: np.ndarray, on_steps: Callable[[int], None] = lambda _: None
    ) -> np.ndarray:
        """Samples, one for each seed, [N, H, W, C]."""
        return batchwise(
            lambda seeds: self._preview.sample(seeds, on_steps).images,
            seeds,
            batch_size=self._images_at_once,
        )

    def _losses_of_batch(self, number: int, images: np.ndarray) -> np.ndarray:
        """Losses of a validation batch, [B]; the noise does not depend on the parts."""
        return batchwise(
            lambda part, places: self._validation_losses(
                to_float(tf.constant(part)),
                tf.constant(number),
                tf.constant(places),
                tf.constant(len(images)),
            ),
            images,
            np.arange(len(images), dtype=np.int32),
            batch_size=self._images_at_once,
        )

    def _images_by_kind(self) -> dict[str, Iterator[tf.Tensor]]:
        """Validation images, the same under noise of the largest level, and uniform noise.

        The iterators over their parts share one generator of random numbers: they are read to
        their end in this order.
        """
        generator, sigma_max = np.random.default_rng(0), self._model.noise.sigma_max

        def noisy(images: tf.Tensor) -> tf.Tensor:
            noise = generator.standard_normal(images.numpy().shape).astype(np.float32)
            return images + sigma_max * noise

        def uniform(images: tf.Tensor) -> tf.Tensor:
            return tf.constant(generator.uniform(size=images.numpy().shape).astype(np.float32))

        return {
            "clean": self._validation_parts(),
            "noisy": map(noisy, self._validation_parts()),
            "uniform": map(uniform, self._validation_parts()),
        }

    def _validation_parts(self) -> Iterator[tf.Tensor]:
        """The validation images, float32 in [0, 1], as many at a time as a step has."""
        for first in range(0, len(self._validation_images), self._images_at_once):
            part = self._validation_images[first : first + self._images_at_once]
            yield to_float(tf.constant(part))
