"""The energy model: E(x), score, denoiser D(x), the training step, averaged weights (EMA)."""

from typing import Any

import keras
import tensorflow as tf

from tf_mdsm import losses, randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels, assign_levels
from tf_mdsm.system.keras_backend import require_tensorflow_backend

__all__ = ["NUM_BANDS", "EnergyModel"]

# The noise levels are divided into this many bands; the mean loss of each band is reported.
NUM_BANDS = 8


class EnergyModel(keras.Model):
    """An energy model of images, trained by multi-scale denoising score matching.

    The network computes one number for each image, the energy E(x). There is no noise level among
    its inputs. `energy`, `score` and `denoise` use the averaged weights if there are any.

    `train_step` takes a batch of images in [0, 1], float [B, H, W, C]; the program's own loop
    calls it, and so does `fit`. All batches have one size. The noise is added on the device. It
    is a function of (seed, step, place in the global batch).
    The optimizer minimizes the normalized loss divided by sigma0^4, as in the authors' code.
    Adam's update depends on this factor only through its epsilon.

    Args:
        network: function from images [B, H, W, C] to energies [B].
        noise: noise levels, sigma_0 and the weighting of the loss.
        ema_momentum: momentum of the averaged weights (EMA); 0: no averages. At first
            the momentum is smaller, so that the average soon forgets the initial weights: at step
            t it is min(ema_momentum, (1 + t) / (10 + t)).
        seed: seed of the noise.
        compile_gradients: compile loss and gradients with XLA (not the optimizer).
        clip_norm: largest norm of the gradients over all weights; longer gradients are scaled
            down to it; 0: no clipping. The unit is that of the normalized loss and of the metric
            `gradient_norm`, which is the norm before clipping.
        accumulation_steps: number of parts into which each replica divides its images of a
            batch. The parts are computed one after the other. The gradients are those of the
            whole batch; the memory is that of one part.

    Raises:
        InvalidArgument: for a value outside its range, or another backend of Keras than TensorFlow.
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
    ):
        require_tensorflow_backend()
        if not 0 <= ema_momentum < 1:
            raise InvalidArgument("ema_momentum", "lie in [0, 1)", ema_momentum)
        if not clip_norm >= 0:
            raise InvalidArgument("clip_norm", "not be negative", clip_norm)
        if accumulation_steps < 1:
            raise InvalidArgument("accumulation_steps", "be positive", accumulation_steps)
        super().__init__(name="energy_model", dtype="float32")
        self.network = network
        self.noise = noise or NoiseLevels()
        self.ema_momentum = ema_momentum
        self.clip_norm = clip_norm
        self.accumulation_steps = accumulation_steps
        self.noise_seed = seed
        self.ema_network = None
        if ema_momentum:
            self.ema_network = keras.models.clone_model(network)
            self.ema_network.set_weights(network.get_weights())
            self.ema_network.trainable = False
        self.loss_tracker = keras.metrics.Mean(name="loss", dtype="float32")
        self.gradient_norm_tracker = keras.metrics.Mean(name="gradient_norm", dtype="float32")
        self.band_tracker = BandMean(NUM_BANDS, name="loss_per_band", dtype="float32")
        self.built = True
        self._compiled_losses_and_gradients = tf.function(
            self._losses_and_gradients, jit_compile=compile_gradients, autograph=False
        )

    # The trained energy

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return tuple(self.network.input_shape[1:])

    @property
    def sigma0(self) -> float:
        """The fixed kernel width of the loss, in pixel units, which samplers need."""
        return self.noise.sigma0

    @property
    def inference_network(self) -> keras.Model:
        """The network to use after training: with averaged weights if there are any."""
        return self.ema_network or self.network

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """E(x), [B], as `energy`; called by Keras."""
        return self.inference_network(images)

    def energy(self, images: tf.Tensor) -> tf.Tensor:
        """The energy E(x), [B]; it is low where images look like the training images."""
        return self.inference_network(tf.convert_to_tensor(images, tf.float32))

    def score(self, images: tf.Tensor) -> tf.Tensor:
        """The score -dE/dx, [B, H, W, C]."""
        return self.energy_and_score(images)[1]

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The energy E(x), [B], and the score -dE/dx, [B, H, W, C], by one gradient evaluation."""
        images = tf.convert_to_tensor(images, tf.float32)
        energy, gradient = losses.energy_and_gradient(self.inference_network, images)
        return energy, -gradient

    def denoise(self, images: tf.Tensor) -> tf.Tensor:
        """The denoised images D(x) = x - sigma0^2 dE/dx, [B, H, W, C], not clipped to [0, 1].

        D estimates the clean image for any of the trained noise levels. The weighting "score" is
        an exception: there D is a denoiser only for images under noise of level sigma0.
        """
        images = tf.convert_to_tensor(images, tf.float32)
        return losses.denoise(self.inference_network, images, self.noise.sigma0)

    # Training and validation

    def compile(self, optimizer: keras.optimizers.Optimizer | str, **options) -> None:
        """Sets the optimizer, as `keras.Model.compile`.

        The optimizer's variables are created here, so that no traced function has to.
        """
        super().compile(optimizer=optimizer, **options)
        # `train_step` averages the gradients over the replicas; Keras must not do it again.
        self.optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: (
            gradients_and_variables
        )
        with self.distribute_strategy.scope():
            self.optimizer.build(self.network.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of the loss, of the gradient norm, and of the loss in each band."""
        return [self.loss_tracker, self.gradient_norm_tracker, self.band_tracker]

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Updates the weights once, from one replica's share of a global batch.

        Args:
            images: clean images in [0, 1], [b, H, W, C].

        Returns:
            "loss" and "gradient_norm", both of the normalized loss: means over all updates since
            the metrics were reset.
        """
        level_indices, clean, noisy = self._add_noise(
            images, self.optimizer.iterations, "training_noise"
        )
        each_loss, gradients = self._compiled_losses_and_gradients(
            clean, noisy, self._sigma(level_indices)
        )
        loss, band_sums, gradients = self._average_over_replicas(
            tf.reduce_mean(each_loss), self._band_sums(level_indices, each_loss), gradients
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

    def test_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The mean loss of validation images; the noise is the same at every call."""
        self.loss_tracker.update_state(self.validation_losses(images, batch_number=0))
        logs: dict[str, Any] = {"loss": self.loss_tracker.result()}
        return logs

    def validation_losses(self, images: tf.Tensor, batch_number: tf.Tensor | int) -> tf.Tensor:
        """Normalized loss of each validation image, [B], by the trained network.

        Args:
            images: clean images in [0, 1], [B, H, W, C].
            batch_number: the noise is a function of this number and of the model's seed.
        """
        level_indices, clean, noisy = self._add_noise(images, batch_number, "validation_noise")
        return self._normalized_losses(
            self.inference_network, clean, noisy, self._sigma(level_indices)
        )

    def _sigma(self, level_indices: tf.Tensor) -> tf.Tensor:
        """The noise levels in pixel units, [b], from their indices."""
        return tf.gather(tf.constant(self.noise.sigmas), level_indices)

    def _add_noise(
        self, images: tf.Tensor, step: tf.Tensor | int, stream: str
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Assigns a noise level to each of this replica's images, and adds the noise.

        Returns:
            indices of the levels, [b]; clean images and noisy images, [b, H, W, C].
        """
        context = tf.distribute.get_replica_context()
        clean = tf.convert_to_tensor(images, tf.float32)
        num_images = tf.shape(clean)[0]
        place = context.replica_id_in_sync_group * num_images + tf.range(num_images)
        batch_size = num_images * context.num_replicas_in_sync
        step = tf.cast(step, tf.int64)
        seed = tf.constant(self.noise_seed, tf.int64)
        level_indices = assign_levels(
            place, batch_size, self.noise.num_levels, seed=seed, step=step
        )
        normal = randomness.normal(
            tf.fill([num_images], seed), (step, place), stream, tuple(clean.shape[1:])
        )
        return (
            level_indices,
            clean,
            clean + self._sigma(level_indices)[:, None, None, None] * normal,
        )

    def _normalized_losses(
        self, network: keras.Model, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor
    ) -> tf.Tensor:
        """Normalized loss of each image under this model's weighting, [b]."""
        noise = self.noise
        return losses.mdsm_losses(
            network,
            clean,
            noisy,
            kernel_variance=losses.kernel_variances(sigma, noise.weighting, noise.sigma0),
            weight=losses.loss_weights(sigma, noise.weighting, noise.sigma_data),
        )

    def _losses_and_gradients(
        self, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Normalized loss of each image, [b], and the gradients of the minimized loss.

        The gradients are those with respect to the network's weights. The minimized loss is the
        mean of the normalized losses, divided by sigma0^4.
        """
        if self.accumulation_steps > 1:
            return self._accumulated_losses_and_gradients(clean, noisy, sigma)
        return self._losses_and_gradients_at_once(clean, noisy, sigma)

    def _losses_and_gradients_at_once(
        self, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `_losses_and_gradients`, with all images in one pass."""
        weights = [variable.value for variable in self.network.trainable_variables]
        with tf.GradientTape() as tape:
            each_loss = self._normalized_losses(self.network, clean, noisy, sigma)
            minimized_loss = tf.reduce_mean(each_loss) / self.noise.sigma0**4
        gradients: Any = tape.gradient(minimized_loss, weights)
        return each_loss, gradients

    def _accumulated_losses_and_gradients(
        self, clean: tf.Tensor, noisy: tf.Tensor, sigma: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `_losses_and_gradients`, part after part, with the gradients summed on the way."""
        num_parts = self.accumulation_steps
        parts = [tf.reshape(x, [num_parts, -1, *x.shape[1:]]) for x in (clean, noisy, sigma)]

        def add_part(i, each_loss, sums):
            part = [tf.ensure_shape(x[i], x.shape[1:]) for x in parts]
            part_losses, gradients = self._losses_and_gradients_at_once(*part)
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
        return each_loss.concat(), [total / num_parts for total in sums]

    def _average_over_replicas(
        self, loss: tf.Tensor, band_sums: tf.Tensor, gradients: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Means over all replicas of the loss, the band sums and the gradients.

        One reduction for all of them. Every replica then has the metrics of the global batch. A
        checkpoint saves only the sum over replicas; as all replicas have equal metrics, each can
        be restored exactly.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            context = tf.distribute.get_replica_context()
            *gradients, loss, band_sums = context.all_reduce(
                tf.distribute.ReduceOp.MEAN, [*gradients, loss, band_sums]
            )
        return loss, band_sums, gradients

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
            average.assign_sub(rate * (average - weight))

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
        self.total.assign_add(sums[0])
        self.count.assign_add(sums[1])

    def result(self) -> tf.Tensor:
        """The mean loss in each band, [num_bands]."""
        return tf.math.divide_no_nan(self.total.value, self.count.value)
