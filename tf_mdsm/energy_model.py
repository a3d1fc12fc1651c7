"""The energy model: a Keras model whose training step is denoising score matching."""

import keras
import tensorflow as tf

from tf_mdsm import losses, randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels, assign_levels

__all__ = ["NUM_BANDS", "EnergyModel"]

# Stretches of the noise grid whose losses are shown apart.
NUM_BANDS = 8


class EnergyModel(keras.Model):
    """A network's energy, trained by multi-scale denoising score matching.

    `fit` takes a dataset of images in [0, 1], float [B, H, W, C], in batches of one size; every
    batch is noised on the device, as a function of (seed, step, place in the global batch).
    The optimiser works on the normalised loss divided by sigma0^4, as the authors' did: Adam's
    epsilon knows the difference.

    Args:
        network: images [B, H, W, C] to energies [B].
        noise: noise levels and weights.
        ema_momentum: momentum of the averaged weights; 0: none are kept. The average begins
            as a plain mean: momentum min(ema_momentum, (1 + t) / (10 + t)) at step t.
        seed: of the noise.
        compile_gradients: compile the gradients (not the optimiser) with XLA.
        clip_norm: gradients whose norm over all weights exceeds it are shortened to it, in the
            normalised loss' unit, in which `gradient_norm` is shown (before it is clipped);
            0: none are.
        accumulation_steps: parts in which a replica takes its share of a batch, one after the
            other: the gradients are the whole batch's, the memory is one part's.

    After training, `energy`, `score` and `denoise` use the averaged weights if there are any.
    """

    def __init__(
        self,
        network: keras.Model,
        noise: NoiseLevels | None = None,
        ema_momentum: float = 0.0,
        seed: int = 0,
        compile_gradients: bool = False,
        clip_norm: float = 0.0,
        accumulation_steps: int = 1,
    ):
        super().__init__(name="energy_model")
        if not 0 <= ema_momentum < 1:
            raise InvalidArgument("ema_momentum", "lie in [0, 1)", ema_momentum)
        if not clip_norm >= 0:
            raise InvalidArgument("clip_norm", "not be negative", clip_norm)
        self.network = network
        self.noise = noise or NoiseLevels()
        if accumulation_steps < 1:
            raise InvalidArgument("accumulation_steps", "be positive", accumulation_steps)
        self.ema_momentum = ema_momentum
        self.clip_norm, self.accumulation_steps = clip_norm, accumulation_steps
        self.noise_seed = seed
        self.ema_network = None
        if ema_momentum:
            self.ema_network = keras.models.clone_model(network)
            self.ema_network.set_weights(network.get_weights())
            self.ema_network.trainable = False
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.gradient_norm_tracker = keras.metrics.Mean(name="gradient_norm")
        self.band_tracker = BandMean(NUM_BANDS, name="loss_per_band")
        self.built = True
        self._gradient_fn = tf.function(
            self._losses_and_gradients, jit_compile=compile_gradients, autograph=False
        )

    def compile(self, optimizer: keras.optimizers.Optimizer, **options) -> None:
        """As `keras.Model.compile`; the optimiser's variables are made here, not in a graph."""
        super().compile(optimizer=optimizer, **options)
        # `train_step` has averaged the gradients over the replicas; Keras would do it once more.
        self.optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: (
            gradients_and_variables
        )
        with self.distribute_strategy.scope():
            self.optimizer.build(self.network.trainable_variables)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return tuple(self.network.input_shape[1:])

    @property
    def trained_network(self) -> keras.Model:
        """The network that is used after training: averaged weights where there are any."""
        return self.ema_network or self.network

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_tracker, self.gradient_norm_tracker, self.band_tracker]

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return self.trained_network(images)

    def energy(self, images: tf.Tensor) -> tf.Tensor:
        """E(x), [B]; low where images look like the training images."""
        return self.trained_network(tf.convert_to_tensor(images, tf.float32))

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """E(x), [B], and -dE/dx, [B, H, W, C], of one pass."""
        images = tf.convert_to_tensor(images, tf.float32)
        energy, gradient = losses.energy_and_gradient(self.trained_network, images)
        return energy, -gradient

    def score(self, images: tf.Tensor) -> tf.Tensor:
        """-dE/dx, [B, H, W, C]."""
        return self.energy_and_score(images)[1]

    def denoise(self, images: tf.Tensor) -> tf.Tensor:
        """D(x) = x - sigma0^2 dE/dx, [B, H, W, C], not clipped to [0, 1].

        The clean image for any trained noise level, unless the weighting is "score": then it
        is one step down the energy, right for images noised by sigma0.
        """
        images = tf.convert_to_tensor(images, tf.float32)
        return losses.denoise(self.trained_network, images, self.noise.sigma0)

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update from one replica's share of the global batch.

        Returns:
            loss and gradient norm (of the normalised loss), means since the metrics were reset.
        """
        replicas = self.distribute_strategy.num_replicas_in_sync
        levels, clean, noisy = self._add_noise(images, self.optimizer.iterations)
        each_loss, gradients = self._gradient_fn(clean, noisy, self._sigma(levels))
        loss, bands = tf.reduce_mean(each_loss), self._band_sums(levels, each_loss)
        if replicas > 1:
            # What is measured goes with the gradients: so each replica knows the global batch's
            # means, and its sums come back to the bit from their total in a checkpoint.
            context = tf.distribute.get_replica_context()
            *gradients, loss, bands = context.all_reduce(
                tf.distribute.ReduceOp.MEAN, [*gradients, loss, bands]
            )
        raw_norm = tf.linalg.global_norm(gradients)
        if self.clip_norm:
            largest = self.clip_norm / self.noise.sigma0**4
            gradients, _ = tf.clip_by_global_norm(gradients, largest, raw_norm)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        self._update_averages()
        self.loss_tracker.update_state(loss)
        self.band_tracker.update_state(bands)
        self.gradient_norm_tracker.update_state(raw_norm * self.noise.sigma0**4)
        return {
            "loss": self.loss_tracker.result(),
            "gradient_norm": self.gradient_norm_tracker.result(),
        }

    def test_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The loss of held-out images, under noise that is the same every time."""
        each_loss = self.validation_losses(images, batch_number=0)
        self.loss_tracker.update_state(each_loss)
        return {"loss": self.loss_tracker.result()}

    def validation_losses(self, images: tf.Tensor, batch_number: tf.Tensor) -> tf.Tensor:
        """Normalised loss of each image, [B], under noise that depends on `batch_number` only."""
        levels, clean, noisy = self._add_noise(images, batch_number, "held_out_noise")
        kernel_variance, weight = self.noise.kernel_variance_and_weight(self._sigma(levels))
        return losses.mdsm_losses(self.trained_network, clean, noisy, kernel_variance, weight)

    def _sigma(self, levels: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(self.noise.sigmas), levels)

    def _add_noise(self, images, step, stream: str = "training_noise"):
        """This replica's images with the levels and the noise of their places: level index [b],
        clean and noisy images [b, H, W, C]."""
        context = tf.distribute.get_replica_context()
        clean = tf.convert_to_tensor(images, tf.float32)
        share = tf.shape(clean)[0]
        place = context.replica_id_in_sync_group * share + tf.range(share)
        step = tf.cast(step, tf.int64)
        seed = tf.constant(self.noise_seed, tf.int64)
        levels = assign_levels(
            place, share * context.num_replicas_in_sync, self.noise.num_levels, seed, step
        )
        normal = randomness.normal(
            tf.fill([share], seed), (step, place), stream, tuple(clean.shape[1:])
        )
        return levels, clean, clean + self._sigma(levels)[:, None, None, None] * normal

    def _losses_and_gradients(self, clean, noisy, sigma):
        """Loss of each image [b]; gradients of their mean / sigma0^4 in each weight."""
        count = self.accumulation_steps
        if count == 1:
            return self._losses_and_gradients_of_part(clean, noisy, sigma)
        parts = [tf.reshape(x, [count, -1, *x.shape[1:]]) for x in (clean, noisy, sigma)]
        variables = self.network.trainable_variables
        start = (
            tf.constant(0),
            tf.TensorArray(tf.float32, count),
            [tf.zeros_like(variable.value) for variable in variables],
        )

        def add(number, each_loss, sums):
            part = [tf.ensure_shape(x[number], x.shape[1:]) for x in parts]
            losses_of_part, gradients = self._losses_and_gradients_of_part(*part)
            sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
            return number + 1, each_loss.write(number, losses_of_part), sums

        # One part after the other, or their memory would be that of the whole.
        _, each_loss, sums = tf.while_loop(
            lambda number, *_: number < count, add, start, parallel_iterations=1
        )
        return each_loss.concat(), [total / count for total in sums]

    def _losses_and_gradients_of_part(self, clean, noisy, sigma):
        kernel_variance, weight = self.noise.kernel_variance_and_weight(sigma)
        variables = [variable.value for variable in self.network.trainable_variables]
        with tf.GradientTape() as tape:
            each_loss = losses.mdsm_losses(self.network, clean, noisy, kernel_variance, weight)
            raw_loss = tf.reduce_mean(each_loss) / self.noise.sigma0**4
        return each_loss, tape.gradient(raw_loss, variables)

    def _update_averages(self) -> None:
        if self.ema_network is None:
            return
        step = tf.cast(self.optimizer.iterations, tf.float32)
        momentum = tf.minimum(self.ema_momentum, (1.0 + step) / (10.0 + step))
        pairs = zip(self.ema_network.variables, self.network.variables, strict=True)
        trained = [(average.value, weight.value) for average, weight in pairs if weight.trainable]

        def move(average, weight, rate):
            average.assign_sub(rate * (average - weight))

        def update(strategy, rate):
            for average, weight in trained:
                strategy.extended.update(average, move, args=(weight, rate))

        tf.distribute.get_replica_context().merge_call(update, args=(1.0 - momentum,))

    def _band_sums(self, levels: tf.Tensor, each_loss: tf.Tensor) -> tf.Tensor:
        """Sum of the losses and number of the images in each band of levels, [2, NUM_BANDS]."""
        band = levels * NUM_BANDS // self.noise.num_levels
        parts = (each_loss, tf.ones_like(each_loss))
        return tf.stack([tf.math.unsorted_segment_sum(part, band, NUM_BANDS) for part in parts])


class BandMean(keras.metrics.Metric):
    """The mean loss of each band of noise levels."""

    def __init__(self, num_bands: int, **kwargs):
        super().__init__(**kwargs)
        self.num_bands = num_bands
        self.total = self.add_variable((num_bands,), "zeros", name="total")
        self.count = self.add_variable((num_bands,), "zeros", name="count")

    def update_state(self, sums):
        """Adds each band's sum of losses and number of images, [2, num_bands]."""
        self.total.assign_add(sums[0])
        self.count.assign_add(sums[1])

    def result(self):
        return tf.math.divide_no_nan(self.total.value, self.count.value)
