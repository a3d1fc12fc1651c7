"""The training run: resumes where its folder stands, and can be stopped at any moment."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm import build, views
from tf_mdsm.checkpoints import TrainingCheckpoints
from tf_mdsm.config import load_config, save_config
from tf_mdsm.datasets.batches import to_float, training_batches
from tf_mdsm.energy import NUM_BANDS, EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.monitor import Monitor
from tf_mdsm.pictures import write_png
from tf_mdsm.progress import progress_bar
from tf_mdsm.validation import check_same_run

__all__ = ["compile_steps", "train"]

_LOGGER = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: str) -> None:
    """Trains until `config.training.num_steps`, from the newest checkpoint if there is one.

    SIGTERM and SIGINT end the run cleanly after the step in hand, with a checkpoint.

    Raises:
        InvalidArgument: before anything is written, for settings or data that cannot be used.
        RunError: if the loss is not finite, or a checkpoint cannot be written or read.
    """
    config_path = os.path.join(workdir, "config.json")
    if os.path.exists(config_path):
        check_same_run(config, load_config(config_path))
    images, held_out = build.build_images(config)
    strategy = build.build_strategy(config)
    with strategy.scope():
        model = build.build_model(config)
        model.compile(build.build_optimizer(config))
    sample = build.build_sampler(config, model)
    try:
        save_config(config, config_path)
    except OSError as error:
        raise InvalidArgument("--workdir", f"be writable ({error})", workdir) from error

    with strategy.scope():
        folder = os.path.join(workdir, "checkpoints")
        checkpoints = TrainingCheckpoints(folder, model, config.training.keep_checkpoints)
        checkpoints.restore_latest()
    step = checkpoints.step
    monitor = Monitor(os.path.join(workdir, "tensorboard"), step)
    if step == 0:
        monitor.text("config", f"```\n{config}\n```", step=0)
    batches = strategy.distribute_datasets_from_function(
        lambda _: training_batches(
            images,
            config.training.batch_size,
            config.seed,
            config.data.flip,
            step,
            strategy.num_replicas_in_sync,
        )
    )
    observer = _Observer(config, workdir, model, held_out, monitor, sample)
    _LOGGER.info(
        "%s: %d training images, %s parameters, %d replica(s), from step %d to %d",
        *(workdir, len(images), f"{model.network.count_params():,}"),
        *(strategy.num_replicas_in_sync, step, config.training.num_steps),
    )
    with _stop_on_signals() as stop_requested:
        _loop(config.training, model, batches, checkpoints, observer, stop_requested)


def _loop(
    settings: ConfigDict,
    model: EnergyModel,
    batches: tf.distribute.DistributedDataset,
    checkpoints: TrainingCheckpoints,
    observer: "_Observer",
    stop_requested: Callable[[], bool],
) -> None:
    run_steps = compile_steps(model)
    iterator = iter(batches)
    step, last = checkpoints.step, settings.num_steps
    events = {
        observer.log: settings.log_every,
        observer.validate: settings.validate_every,
        lambda _: _save(checkpoints, observer): settings.checkpoint_every,
        lambda step: observer.preview(step, stop_requested): settings.sample_every,
    }
    with progress_bar("training", last, "step", step) as bar:
        while step < last and not stop_requested():
            until = min(_next_multiple(step, every) for every in (*events.values(), 0))
            count = min(settings.steps_per_call, until - step, last - step)
            started = time.monotonic()
            history = run_steps(iterator, tf.constant(count)).numpy()
            observer.count(count, time.monotonic() - started)
            _require_finite(history, step, checkpoints)
            step += count
            bar.update(count)
            bar.set_postfix(loss=f"{history[-1, 0]:.4g}", refresh=False)
            for happen, every in events.items():
                if every and step % every == 0:
                    happen(step)
        _save(checkpoints, observer)
    ending = "finished" if step == last else "stopped; run again to continue"
    _LOGGER.info("step %d: %s", step, ending)


def _next_multiple(step: int, every: int) -> int:
    """The first multiple of an interval after a step; none for 0."""
    return (step // every + 1) * every if every else 2**31


def _save(checkpoints: TrainingCheckpoints, observer: "_Observer") -> None:
    # Events first: what a checkpoint has seen must be in the event file when it is restored.
    observer.monitor.flush()
    checkpoints.save()


def _require_finite(history: np.ndarray, step: int, checkpoints: TrainingCheckpoints) -> None:
    finite = np.isfinite(history).all(axis=1)
    if finite.all():
        return
    saved = checkpoints.latest_step
    kept = "no checkpoint was written" if saved is None else f"checkpoint of step {saved} is kept"
    raise RunError(f"step {step + int(np.argmin(finite)) + 1}: the loss is not finite; {kept}")


def compile_steps(model: EnergyModel) -> Callable:
    """A function of an iterator and a number of steps: running means of loss and gradient
    norm after each step, float32 [steps, 2]."""
    strategy = model.distribute_strategy

    # No autograph anywhere: it reads source files when it traces, which in a long run may be
    # long after they were edited.
    @tf.function(autograph=False)
    def run_steps(iterator, count):
        def step(i, history):
            logs = strategy.run(model.train_step, args=(next(iterator),))
            means = [
                strategy.reduce(tf.distribute.ReduceOp.MEAN, logs[name], axis=None)
                for name in ("loss", "gradient_norm")
            ]
            return i + 1, history.write(i, tf.stack(means))

        history = tf.TensorArray(tf.float32, count)
        _, history = tf.while_loop(lambda i, _: i < count, step, (tf.constant(0), history))
        return history.stack()

    return run_steps


class _StopRequested(Exception):
    """Leaves a chain that is being drawn."""


class _Observer:
    """What a run shows of itself: scalars, held-out loss, pictures."""

    def __init__(self, config, workdir, model, held_out, monitor, sample):
        self.monitor = monitor
        self._model, self._workdir, self._sample = model, workdir, sample
        self._true_energy = build.true_energy(config)
        self._seeds = config.sampling.seed + np.arange(config.training.preview_images)
        chosen = held_out[: config.training.validation_images]
        self._held_out = to_float(tf.constant(chosen))
        self._batch_size = config.training.batch_size
        self._images, self._seconds = 0, 0.0
        self._held_out_losses = tf.function(model.held_out_losses, autograph=False)
        self._energy = tf.function(model.energy, autograph=False)

    def count(self, steps: int, seconds: float) -> None:
        self._images += steps * self._batch_size
        self._seconds += seconds

    def log(self, step: int) -> None:
        """Means since the last time."""
        model = self._model
        scalars = {metric.name: metric.result() for metric in model.metrics}
        bands = scalars.pop("loss_per_band").numpy()
        edges = np.array_split(model.noise.sigmas, min(NUM_BANDS, model.noise.num_levels))
        for loss, sigmas in zip(bands, edges, strict=False):
            scalars[f"loss_by_sigma/{sigmas[0]:.3g}-{sigmas[-1]:.3g}"] = loss
        scalars["learning_rate"] = model.optimizer.learning_rate
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
        if not views.is_plane(self._model.image_shape):
            strip = views.denoising_strip(self._model, self._held_out[:8].numpy())
            self.monitor.picture("clean_noisy_denoised", strip, step)

    def preview(self, step: int, stop_requested: Callable[[], bool]) -> None:
        """A few samples, to TensorBoard and samples/; given up when the run is to stop."""

        def give_up_if_stopped(_: int) -> None:
            if stop_requested():
                raise _StopRequested

        try:
            chain = self._sample(self._seeds, give_up_if_stopped)
        except _StopRequested:
            return
        picture = views.samples_picture(self._model, chain.images, self._true_energy)
        self.monitor.picture("samples", picture, step)
        write_png(picture, os.path.join(self._workdir, "samples", f"step_{step:08d}.png"))

    def _in_batches(self, images: tf.Tensor) -> list[tf.Tensor]:
        size = self._batch_size
        return [images[first : first + size] for first in range(0, len(images), size)]


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGTERM or SIGINT has come; a second one kills."""
    received = []

    def note(number: int, _) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        _LOGGER.info("%s: saving, then stopping", signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
