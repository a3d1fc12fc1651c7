"""The energy model: E(x), score, denoiser D(x), the training step, averaged weights (EMA)."""

import functools
import numbers
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mdsm import losses, randomness
from tf_mdsm.datasets.pixels import as_images, warn_unless_pixels
from tf_mdsm.datasets.training_inputs import (
    checked_source,
    errors_of_sources,
    images_of,
    require_no_labels,
    require_some_images,
)
from tf_mdsm.distributed.batch_shares import BatchShare, mean_over_replicas, share_of_batch
from tf_mdsm.distributed.gpus import unknown_to_xla
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.networks.energy_network import (
    copy_network,
    energies_of,
    guess_network,
    image_shape_of,
    in_parts,
    require_energy_network,
    require_sides,
    smallest_side,
)
from tf_mdsm.noise import NoiseLevels, assign_levels
from tf_mdsm.samplers import sampling
from tf_mdsm.samplers.base import Method
from tf_mdsm.samplers.values import number, whole_number
from tf_mdsm.system.cpu_tuning import num_parts_at_once
from tf_mdsm.system.keras_backend import require_tensorflow_backend

__all__ = ["NUM_BANDS", "EnergyModel"]

# Clean images, noisy images and noise levels [b] to the loss of each image, [b].
LossesFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# The noise levels are divided into this many bands; the mean loss of each band is reported.
NUM_BANDS = 8


@keras.saving.register_keras_serializable("tf_mdsm")
class EnergyModel(keras.Model):
    """An energy model of images, trained by multi-scale denoising score matching.

    The network computes one number for each image, the energy E(x). There is no noise level among
    its inputs. `energy`, `score`, `denoise`, `noise_level` and `predict` use the averaged weights
    if there are any. All of them take images [B, H, W, C] of any floating-point precision, or
    uint8, which are divided by 255. With a network of images of any size, [None, None, C], H and W
    are any numbers from a small one on; a large photograph is for
    `restoration.TiledEnergy`, whose memory is bounded.

    On NVIDIA GPUs TensorFlow rounds the inputs of float32 convolutions to TensorFloat-32, also of
    this model, unless the program calls
    `tf.config.experimental.enable_tensor_float_32_execution(False)`.

    It is a Keras model: `fit`, `save`, `load_model`, callbacks and optimizers work as for others.
    There are no labels, and the loss is the model's own. `train_step` is called by `fit` and by
    the program's own loop. The noise is added on the device. It is a function of (seed, step,
    place in the global batch).
    The loss is that of `losses`, under the weighting l(sigma) of `noise`. The optimizer minimizes
    it divided by sigma0^4, as in the authors' code. Adam's update depends on this factor only
    through its epsilon. The clipping of a Keras optimizer (`clipnorm`) has the unit of this
    quotient.

    Args:
        network: a Keras model from images [B, H, W, C] to energies [B] or [B, 1], as
            `networks.build.build_network` or a functional, Sequential or subclassed model of
            one's own. It is called as at inference, also during training: layers such as Dropout
            do nothing.
        noise: noise levels, sigma_0 and the weighting of the loss.
        ema_momentum: momentum of the averaged weights (EMA); 0: no averages. At first
            the momentum is smaller, so that the average soon forgets the initial weights: at step
            t it is min(ema_momentum, (1 + t) / (10 + t)).
        seed: seed of the noise, a whole number of 64 bits.
        compile_gradients: compile loss and gradients with XLA (not the optimizer).
        clip_norm: largest norm of the gradients over all weights; longer gradients are scaled
            down to it; 0: no clipping. The unit is that of the loss, before it is divided by
            sigma0^4, and of the metric `gradient_norm`, which is the norm before clipping.
        accumulation_steps: number of parts into which each replica divides its images of a
            batch. The parts are computed one after the other. The gradients are those of the
            whole batch; the memory is that of one part.
        denoiser_steps: number of first steps that train the network's guess f(x) of the clean
            image as a plain denoiser (`losses.denoiser_losses`), which takes about half the
            time a step. The energy is trained from these weights. It needs a network whose energy
            compares x with one guess, as a U-Net with the head "distance".
        name: name of the model.

    Raises:
        InvalidArgument: for a value outside its range, a network that computes no energies, or
            another backend of Keras than TensorFlow.
    """

    def __init__(
        self,
        network: keras.Model,
        noise: NoiseLevels | None = None,
        *,
        ema_momentum: float = 0.0,
        seed: int = 0,
        compile_gradients: bool = False,
        clip_norm: float = 0.0,
        accumulation_steps: int = 1,
        denoiser_steps: int = 0,
        name: str = "energy_model",
    ):
        require_tensorflow_backend()
        if not isinstance(noise, NoiseLevels | None):
            raise InvalidArgument("noise", "be a NoiseLevels, as NoiseLevels(0.05, 1.2)", noise)
        number("ema_momentum", ema_momentum, "lie in [0, 1)", lambda momentum: 0 <= momentum < 1)
        number("clip_norm", clip_norm, "not be negative", lambda norm: norm >= 0)
        if not isinstance(seed, numbers.Integral) or not -(2**63) <= seed < 2**63:
            raise InvalidArgument("seed", "be a whole number of 64 bits", seed)
        accumulation_steps = whole_number("accumulation_steps", accumulation_steps)
        denoiser_steps = whole_number("denoiser_steps", denoiser_steps, least=0)
        image_shape_of(network)
        require_energy_network(network)
        self.smallest_side = smallest_side(network)
        # The dtype is that of images and energies; the network's layers have their own.
        super().__init__(name=name, dtype="float32", autocast=False)
        self.network = network
        self.noise = noise or NoiseLevels()
        self.ema_momentum = ema_momentum
        self.clip_norm = clip_norm
        self.accumulation_steps = accumulation_steps
        self.denoiser_steps = denoiser_steps
        self._guess_network = guess_network(network) if denoiser_steps else None
        if denoiser_steps and self._guess_network is None:
            requirement = "be 0 for a network whose energy compares x with no guess of it, or two"
            raise InvalidArgument("denoiser_steps", requirement, denoiser_steps)
        self.noise_seed = seed
        self.compile_gradients = compile_gradients
        self._num_parts = 1 if compile_gradients or _has_gpu() else num_parts_at_once()
        self.ema_network = None
        if ema_momentum:
            self.ema_network = copy_network(network)
            self.ema_network.trainable = False
        self.loss_tracker = keras.metrics.Mean(name="loss", dtype="float32")
        self.gradient_norm_tracker = keras.metrics.Mean(name="gradient_norm", dtype="float32")
        self.band_tracker = BandMean(NUM_BANDS, name="loss_per_band", dtype="float32")
        # Where there is a GPU, Keras compiles what it calls with XLA by default.
        self.supports_jit = not unknown_to_xla()
        self.built = True
        self._compiled_losses_and_gradients = tf.function(
            self._losses_and_gradients, jit_compile=compile_gradients, autograph=False
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as Keras saves them."""
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "noise": keras.saving.serialize_keras_object(self.noise),
            "ema_momentum": self.ema_momentum,
            "seed": self.noise_seed,
            "compile_gradients": self.compile_gradients,
            "clip_norm": self.clip_norm,
            "accumulation_steps": self.accumulation_steps,
            "denoiser_steps": self.denoiser_steps,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "EnergyModel":
        """The model that `get_config` describes, with initial weights."""
        objects = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("network", "noise")
        }
        return cls(**{**config, **objects})

    # The trained energy

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images; None where the network takes any number."""
        shape: Any = image_shape_of(self.network)
        return shape

    @property
    def sigma0(self) -> float:
        """The fixed kernel width of the loss, in pixel units, which samplers need."""
        return self.noise.sigma0

    @property
    def inference_network(self) -> keras.Model:
        """The network to use after training: with averaged weights if there are any."""
        return self.ema_network or self.network

    def __call__(self, images: Any, **options) -> Any:
        """E(x), [B], as `energy`. A symbolic input of Keras gives symbolic energies."""
        if not isinstance(images, keras.KerasTensor):
            # Before Keras does, which turns errors into RuntimeErrors.
            images = self._some_images(images)
        return super().__call__(images, **options)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """E(x), [B]; called by Keras."""
        return self.energy(images)

    def energy(self, images: tf.Tensor) -> tf.Tensor:
        """The energy E(x), [B]; it is low where images look like the training images."""
        return self._energy_fn(self._noisy_images(images))

    def score(self, images: tf.Tensor) -> tf.Tensor:
        """The score -dE/dx, [B, H, W, C]."""
        return self.energy_and_score(images)[1]

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The energy E(x), [B], and the score -dE/dx, [B, H, W, C], by one gradient evaluation."""
        images = self._noisy_images(images)
        energy, gradient = losses.energy_and_gradient(self._energy_fn, images)
        return energy, -gradient

    def denoise(self, images: tf.Tensor) -> tf.Tensor:
        """The denoised images D(x) = x - sigma0^2 dE/dx, [B, H, W, C], not clipped to [0, 1].

        D estimates the clean image for any of the trained noise levels. The weighting "score" is
        an exception: there D is a denoiser only for images under noise of level sigma0.
        """
        images = self._noisy_images(images)
        return losses.denoise(self._energy_fn, images, self.noise.sigma0)

    def noise_level(self, images: tf.Tensor) -> tf.Tensor:
        """The estimated noise level of each image, [B], in pixel units.

        It is |D(x) - x| / sqrt(d), which on average lies below the true level
        (`losses.noise_level`). As `denoise`, it means little with the weighting "score".
        """
        images = self._noisy_images(images)
        return losses.noise_level(
            images, losses.denoise(self._energy_fn, images, self.noise.sigma0)
        )

    def energy_per_value(self, images: tf.Tensor) -> tf.Tensor:
        """The energy divided by the number of values of an image, E(x) / (H W C), [B].

        The energy of a U-Net is a sum over all values. So this compares images of several sizes.
        """
        images = self._noisy_images(images)
        values = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), images.dtype)
        return self._energy_fn(images) / values

    def noise_level_map(self, images: tf.Tensor, *, window: int = 17) -> tf.Tensor:
        """The estimated noise level around each pixel, [B, H, W], in pixel units.

        It is the local root mean square of D(x) - x (`losses.noise_level_map`).

        Args:
            images: images [B, H, W, C].
            window: side of the square over which the mean is taken, an odd number of pixels.

        Raises:
            InvalidArgument: for a window that is not odd.
        """
        if not (isinstance(window, int) and window > 0 and window % 2):
            raise InvalidArgument("window", "be an odd number of pixels", window)
        images = self._noisy_images(images)
        denoised = losses.denoise(self._energy_fn, images, self.noise.sigma0)
        return losses.noise_level_map(images, denoised, window)

    def sample(
        self,
        seeds: Sequence[int] | np.ndarray,
        method: Method | None = None,
        *,
        image_size: int | Sequence[int] | None = None,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Samples one image for each seed, float32 [N, H, W, C], not clipped to [0, 1].

        The same as `samplers.sampling.sample` with this model as its target. `image_size`, height
        and width, must be given for a network of images of any size.
        """
        return sampling.sample(
            self, method, seeds=seeds, image_size=image_size, batch_size=batch_size
        )

    def _some_images(self, images: Any) -> tf.Tensor:
        """The images of a caller, one or more, as float32 [B, H, W, C]."""
        images = self._images(images)
        if images.shape[0] == 0:
            raise InvalidArgument("images", "hold at least one image", "no image")
        return images

    def _noisy_images(self, images: Any) -> tf.Tensor:
        """As `_some_images`; warns if their white is not 1."""
        images = self._some_images(images)
        warn_unless_pixels(images, stacklevel=3)
        return images

    def _images(self, images: Any) -> tf.Tensor:
        """Images as float32 [B, H, W, C], of a shape that the network takes."""
        images = as_images(images, self.image_shape)
        require_sides(images.shape[1:3], self.smallest_side)
        return images

    def _energy_fn(self, images: tf.Tensor) -> tf.Tensor:
        """Energies [B] of float32 images by the network to use after training.

        Images of a size that is not known are not computed in parts: they may be large, and one
        alone would be computed once for each part.
        """
        num_parts = 1 if None in images.shape[1:3] else self._num_parts
        return energies_of(self.inference_network, images, num_parts)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options,
    ) -> None:
        """Writes the energy for inference, images [B, H, W, C] to energies [B].

        Arguments are those of `keras.Model.export`. Samples, scores and denoised images are in the
        SavedModel that the program writes (`--mode=export`).
        """
        images = keras.InputSpec(shape=(None, *self.image_shape), dtype="float32")
        super().export(filepath, format, verbose, input_signature or [images], **options)

    # Training and validation

    def compile(
        self, optimizer: keras.optimizers.Optimizer | str = "adam", loss: None = None, **options
    ) -> None:
        """Sets the optimizer, as `keras.Model.compile`.

        The optimizer's variables are created here, so that no traced function has to. With
        `jit_compile="auto"` Keras compiles the whole step with XLA where there is a GPU and no
        strategy. On GPUs of compute capability 12, where XLA ends the process, nothing is compiled
        so, even with `jit_compile=True`.

        Raises:
            InvalidArgument: for another loss or metrics than the model's own; and for an optimizer
                that scales the loss or accumulates gradients.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            value = options.get(name, loss if name == "loss" else None)
            if value is not None:
                raise InvalidArgument(name, "be left out (the model has its own)", value)
        optimizer = keras.optimizers.get(optimizer)
        _require_plain(optimizer)
        super().compile(optimizer=optimizer, **options)
        # `train_step` averages the gradients over the replicas; Keras must not do it again.
        self.optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: (
            gradients_and_variables
        )
        with self.distribute_strategy.scope():
            self.optimizer.build(self.network.trainable_variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as the one that was saved; called by Keras."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x: Any = None, y: None = None, *arguments, **options) -> keras.callbacks.History:
        """Trains on images, as `keras.Model.fit`.

        Args:
            x: images [N, H, W, C], uint8, or floats in [0, 1]; or batches of such images: a
                `tf.data.Dataset`, a `keras.utils.PyDataset`, or a generator of tuples `(images,)`.
            y: must be left out.
            *arguments: further arguments of `keras.Model.fit`.
            **options: the same by name. `validation_data` is images or batches, too.

        Returns:
            Keras' record of the metrics `loss`, `gradient_norm`, `val_loss` of each epoch.

        Raises:
            InvalidArgument: for labels, weights of images, an array without images, and images that
                are of a wrong shape or dtype, are not finite, or lie outside of [0, 1] by more than
                the largest noise level (`datasets.training_inputs.checked_source`).
        """
        weights = ("class_weight", "sample_weight")
        require_no_labels(y, **{name: options.get(name) for name in weights})
        if options.get("validation_data") is not None:
            options = {**options, "validation_data": self._checked(options["validation_data"])}
        with errors_of_sources():
            return super().fit(self._checked(x), None, *arguments, **options)

    def evaluate(self, x: Any = None, y: None = None, *arguments, **options) -> Any:
        """The mean loss of images, as `keras.Model.evaluate`; images and errors as in `fit`."""
        require_no_labels(y, sample_weight=options.get("sample_weight"))
        # `fit` has checked its validation images, and calls this with an option of Keras' own.
        if not options.get("_use_cached_eval_dataset"):
            x = self._checked(x)
        with errors_of_sources():
            return super().evaluate(x, None, *arguments, **options)

    def predict(self, x: Any, *arguments, **options) -> Any:
        """The energies of images, [N], as `keras.Model.predict`.

        Args:
            x: images [N, H, W, C] as for `energy`, or batches of them as in `fit`.
            *arguments: further arguments of `keras.Model.predict`.
            **options: the same by name.

        Raises:
            InvalidArgument: for no image.
        """
        require_some_images(x)
        return super().predict(x, *arguments, **options)

    def _checked(self, source: Any) -> Any:
        """Images or batches of them, checked as `fit` promises."""
        return checked_source(source, self.image_shape, margin=float(self.noise.sigma_max))

    def load_weights(self, filepath: Any, *arguments, **options) -> None:
        """Loads weights as `keras.Model.load_weights`.

        Raises:
            InvalidArgument: if the file holds weights of another model.
        """
        try:
            with warnings.catch_warnings():
                # Keras would leave these weights as they are, and go on.
                warnings.filterwarnings("error", "Skipping nested container")
                super().load_weights(filepath, *arguments, **options)
        except (ValueError, UserWarning) as error:
            requirement = f"hold weights of this model ({one_line(error)})"
            raise InvalidArgument("filepath", requirement, filepath) from error

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of the loss, of the gradient norm, and of the loss in each band."""
        return [self.loss_tracker, self.gradient_norm_tracker, self.band_tracker]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Updates the weights once, from one replica's share of a global batch.

        Args:
            data: clean images in [0, 1], [b, H, W, C], or a tuple that holds only these.

        Returns:
            "loss" and "gradient_norm", both of the loss that is not divided by sigma0^4: means over
            all updates since the metrics were reset.

        Raises:
            InvalidArgument: for an optimizer that `compile` refuses, set or changed afterwards.
        """
        _require_plain(self.optimizer)
        clean = self._images(images_of(data))
        share = share_of_batch(clean)
        step = tf.cast(self.optimizer.iterations, tf.int64)
        level_indices, noisy = self._add_noise(clean, share, step, "training_noise")
        each_loss, gradients = self._compiled_losses_and_gradients(
            clean, noisy, self._sigma(level_indices), step
        )
        *gradients, loss = share.weigh([*gradients, tf.reduce_mean(each_loss)])
        # One reduction for all. Every replica then has the metrics of the global batch. A
        # checkpoint saves only the sum over replicas; as all replicas have equal metrics, each can
        # be restored exactly.
        *gradients, loss, band_sums = mean_over_replicas(
            [*gradients, loss, self._band_sums(level_indices, each_loss)]
        )
        norm_before_clipping = tf.linalg.global_norm(gradients)
        gradients = self._clip(gradients, norm_before_clipping)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        self._update_averages()

        self.loss_tracker.update_state(loss)
        self.band_tracker.update_state(band_sums)
        self.gradient_norm_tracker.update_state(norm_before_clipping * self.noise.sigma0**4)
        logs: dict[str, Any] = {
            "loss": self.loss_tracker.result(),
            "gradient_norm": self.gradient_norm_tracker.result(),
        }
        return logs

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The mean loss of validation images.

        The noise is a function of the number of images that were evaluated since the metrics were
        reset, of the image's place in the batch, and of the model's seed. Keras resets the metrics
        at the beginning of `evaluate` and of `keras.Model.test_on_batch`. So every call of these
        has the same noise, and every batch of a call has noise of its own.

        Args:
            data: clean images in [0, 1], [b, H, W, C], or a tuple that holds only these.
        """
        each_loss = self._validation_losses_in_parts(images_of(data))
        count = tf.cast(tf.size(each_loss), each_loss.dtype)
        total, count = mean_over_replicas([tf.reduce_sum(each_loss), count])
        self.loss_tracker.update_state(total / count, sample_weight=count)
        logs: dict[str, Any] = {"loss": self.loss_tracker.result()}
        return logs

    def _num_evaluated(self) -> tf.Tensor:
        """The number of images that were evaluated since the metrics were reset, int64 scalar."""
        # The tracker counts the mean number of images of a replica, which is perhaps no integer.
        num_replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        count = tf.convert_to_tensor(self.loss_tracker.count) * num_replicas
        return tf.cast(tf.round(count), tf.int64)

    def _validation_losses_in_parts(self, images: tf.Tensor) -> tf.Tensor:
        """The losses of an evaluated batch, [B], in parts as those of a training step."""
        batch_number = self._num_evaluated()
        if self.accumulation_steps == 1:
            return self.validation_losses(images, batch_number)
        clean, stream = self._images(images), "validation_noise"
        level_indices, noisy = self._add_noise(clean, share_of_batch(clean), batch_number, stream)
        *parts, _ = self._in_parts(clean, noisy, self._sigma(level_indices))
        # One iteration at a time, as in a training step.
        each_loss = tf.map_fn(
            lambda part: self._normalized_losses(self.inference_network, *part),
            tuple(parts),
            fn_output_signature=tf.TensorSpec([None], tf.float32),
            parallel_iterations=1,
        )
        return tf.reshape(each_loss, [-1])[: tf.shape(clean)[0]]

    def validation_losses(
        self,
        images: tf.Tensor,
        batch_number: tf.Tensor | int,
        share: BatchShare | None = None,
    ) -> tf.Tensor:
        """Loss of each validation image, [B], by the trained network.

        Args:
            images: clean images in [0, 1], [B, H, W, C].
            batch_number: the noise is a function of this number, of the image's place in the
                batch, and of the model's seed.
            share: which images of the batch these are; None: all images of the replica.
        """
        clean = self._images(images)
        level_indices, noisy = self._add_noise(
            clean, share or share_of_batch(clean), batch_number, "validation_noise"
        )
        return self._normalized_losses(
            self.inference_network, clean, noisy, self._sigma(level_indices)
        )

    def _sigma(self, level_indices: tf.Tensor) -> tf.Tensor:
        """The noise levels in pixel units, [b], from their indices."""
        return tf.gather(tf.constant(self.noise.sigmas), level_indices)

    def _add_noise(
        self, clean: tf.Tensor, share: BatchShare, step: tf.Tensor | int, stream: str
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Assigns a noise level to each of this replica's images, and adds the noise.

        Returns:
            indices of the levels, [b], and noisy images, [b, H, W, C].
        """
        step = tf.cast(step, tf.int64)
        seed = tf.constant(self.noise_seed, tf.int64)
        level_indices = assign_levels(
            share.place, share.batch_size, self.noise.num_levels, seed=seed, step=step
        )
        seeds = tf.fill([tf.shape(clean)[0]], seed)
        normal = randomness.normal(seeds, (step, share.place), stream, tuple(clean.shape[1:]))
        return level_indices, clean + self._sigma(level_indices)[:, None, None, None] * normal

    def _normalized_losses(
        self, network: keras.Model, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor
    ) -> tf.Tensor:
        """Loss of each image under this model's weighting, [b]."""
        noise = self.noise
        return losses.mdsm_losses(
            functools.partial(energies_of, network, num_parts=self._num_parts),
            clean,
            noisy,
            kernel_variance=losses.kernel_variances(sigma, noise.weighting, noise.sigma0),
            weight=losses.loss_weights(sigma, noise.weighting, noise.sigma_data),
        )

    def _denoiser_losses(self, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        """Loss of each image of the network's guess as a plain denoiser, [b]."""
        network: Any = self._guess_network
        return losses.denoiser_losses(
            functools.partial(in_parts, network, num_parts=self._num_parts),
            clean,
            noisy,
            weight=losses.loss_weights(sigma, self.noise.weighting, self.noise.sigma_data),
        )

    def _losses_and_gradients(
        self, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Loss of each image, [b], and the gradients of the minimized loss.

        The gradients are those with respect to the network's weights. The minimized loss is the
        mean of these losses, divided by sigma0^4. In the first `denoiser_steps` the losses
        are those of a plain denoiser.
        """
        compute = (
            self._gradients_part_by_part if self.accumulation_steps > 1 else self._gradients_at_once
        )
        energy_losses = functools.partial(self._normalized_losses, self.network)
        if not self.denoiser_steps:
            return compute(energy_losses, clean, noisy, sigma)
        chosen: Any = tf.cond(
            step < self.denoiser_steps,
            lambda: compute(self._denoiser_losses, clean, noisy, sigma),
            lambda: compute(energy_losses, clean, noisy, sigma),
        )
        return chosen

    def _gradients_at_once(
        self,
        losses_of: LossesFn,
        clean: tf.Tensor,
        noisy: tf.Tensor,
        sigma: tf.Tensor,
        image_weight: tf.Tensor | float = 1.0,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `_losses_and_gradients`, with all images in one pass, weighted in the mean."""
        weights = [variable.value for variable in self.network.trainable_variables]
        with tf.GradientTape() as tape:
            each_loss = losses_of(clean, noisy, sigma)
            minimized_loss = tf.reduce_mean(image_weight * each_loss) / self.noise.sigma0**4
        # A constant that is added to all energies, as a last bias, has no influence on the loss.
        zero = tf.UnconnectedGradients.ZERO
        gradients: Any = tape.gradient(minimized_loss, weights, unconnected_gradients=zero)
        return each_loss, gradients

    def _gradients_part_by_part(
        self, losses_of: LossesFn, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `_losses_and_gradients`, part after part, with the gradients summed on the way."""
        num_parts = self.accumulation_steps
        num_images: Any = clean.shape[0] or tf.shape(clean)[0]
        parts = self._in_parts(clean, noisy, sigma)

        def add_part(i, each_loss, sums):
            part = [tf.ensure_shape(x[i], x.shape[1:]) for x in parts]
            part_losses, gradients = self._gradients_at_once(losses_of, *part)
            sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
            return i + 1, each_loss.write(i, part_losses), sums

        start = (
            tf.constant(0),
            tf.TensorArray(tf.float32, num_parts),
            [tf.zeros_like(variable.value) for variable in self.network.trainable_variables],
        )
        # One iteration at a time: parallel ones would need the memory of the whole batch.
        _, each_loss, sums = tf.while_loop(
            lambda i, *_: i < num_parts, add_part, start, parallel_iterations=1
        )
        return each_loss.concat()[:num_images], [total / num_parts for total in sums]

    def _in_parts(self, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor) -> list[tf.Tensor]:
        """The arguments in `accumulation_steps` parts, [parts, images of a part, ...], and weights.

        If the parts do not divide the images, the first images fill the last part, with weight 0.
        """
        num_parts = self.accumulation_steps
        num_images: Any = clean.shape[0] or tf.shape(clean)[0]
        filled = num_images + -num_images % num_parts
        index, places = tf.range(filled) % num_images, [num_parts, -1]
        weight = tf.cast(tf.range(filled) < num_images, sigma.dtype)
        weight *= tf.cast(filled, sigma.dtype) / tf.cast(num_images, sigma.dtype)
        return [
            tf.reshape(values, [*places, *values.shape[1:]])
            for values in (*(tf.gather(x, index) for x in (clean, noisy, sigma)), weight)
        ]

    def _clip(self, gradients: list[tf.Tensor], norm_before_clipping: tf.Tensor) -> list[tf.Tensor]:
        """The minimized loss' gradients, scaled down to a norm of at most clip_norm / sigma0^4."""
        if not self.clip_norm:
            return gradients
        largest = self.clip_norm / self.noise.sigma0**4
        return tf.clip_by_global_norm(gradients, largest, norm_before_clipping)[0]

    def _update_averages(self) -> None:
        """Updates the averaged weights: average <- average - (1 - momentum) (average - weight)."""
        if self.ema_network is None:
            return
        step = tf.cast(self.optimizer.iterations, tf.float32)
        momentum = tf.minimum(self.ema_momentum, (1.0 + step) / (10.0 + step))
        pairs = zip(self.ema_network.variables, self.network.variables, strict=True)
        averaged = [(average.value, weight.value) for average, weight in pairs if weight.trainable]

        def update_one(average, weight, rate):
            average.assign_sub(tf.cast(rate, average.dtype) * (average - weight))

        def update_all(strategy, rate):
            for average, weight in averaged:
                strategy.extended.update(average, update_one, args=(weight, rate))

        tf.distribute.get_replica_context().merge_call(update_all, args=(1.0 - momentum,))

    def _band_sums(self, level_indices: tf.Tensor, each_loss: tf.Tensor) -> tf.Tensor:
        """Sum of the losses and number of the images in each band of noise levels.

        Returns:
            float32 [2, NUM_BANDS].
        """
        band = level_indices * NUM_BANDS // self.noise.num_levels
        summands = (each_loss, tf.ones_like(each_loss))
        return tf.stack([tf.math.unsorted_segment_sum(x, band, NUM_BANDS) for x in summands])


def _has_gpu() -> bool:
    # Physical devices only: listing logical devices would start the runtime.
    return bool(tf.config.list_physical_devices("GPU"))


def _require_plain(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses an optimizer whose steps are not the model's, or whose gradients have a scale."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor:
        requirement = "not scale the loss (float32 and bfloat16 do not need it)"
        raise InvalidArgument("optimizer", requirement, optimizer.name)
    if optimizer.gradient_accumulation_steps:
        requirement = "not accumulate gradients (EnergyModel does, by accumulation_steps)"
        raise InvalidArgument("optimizer", requirement, optimizer.name)


@keras.saving.register_keras_serializable("tf_mdsm")
class BandMean(keras.metrics.Metric):
    """The mean loss in each band of noise levels, [num_bands]; 0 for a band without images.

    Args:
        num_bands: number of bands.
        **kwargs: as for `keras.metrics.Metric`.
    """

    def __init__(self, num_bands: int, **kwargs):
        super().__init__(**kwargs)
        self.num_bands = num_bands
        self.total = self.add_variable((num_bands,), "zeros", name="total")
        self.count = self.add_variable((num_bands,), "zeros", name="count")

    def update_state(self, sums: tf.Tensor) -> None:
        """Adds each band's sum of losses and number of images, [2, num_bands]."""
        self.total.assign_add(tf.cast(sums[0], self.total.dtype))
        self.count.assign_add(tf.cast(sums[1], self.count.dtype))

    def result(self) -> tf.Tensor:
        """The mean loss in each band, [num_bands]."""
        return tf.math.divide_no_nan(self.total.value, self.count.value)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as Keras saves them."""
        return {**super().get_config(), "num_bands": self.num_bands}
