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

from tf_mdsm import build
from tf_mdsm.checkpoints import TrainingCheckpoints
from tf_mdsm.config import load_config, save_config
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.statistics import fit_statistics, load_statistics, save_statistics
from tf_mdsm.energy import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.monitor import Monitor
from tf_mdsm.observer import Observer
from tf_mdsm.progress import progress_bar
from tf_mdsm.samplers.chains import compile_chain
from tf_mdsm.validation import check_same_run

__all__ = ["compile_steps", "train"]

_LOGGER = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: str) -> None:
    """Trains until `config.training.num_steps`, from the newest checkpoint if there is one.

    SIGTERM and SIGINT end the run after the step in hand, with a checkpoint.

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used, before step 1.
        KeyboardInterrupt: after a SIGINT, when all is saved.
        RunError: if the loss is not finite, or a checkpoint cannot be written or read.
    """
    config_path = os.path.join(workdir, "config.json")
    if os.path.exists(config_path):
        check_same_run(config, load_config(config_path))
    settings = config.training
    strategy = build.build_strategy(config)
    with strategy.scope():
        model = build.build_model(config)
        model.compile(build.build_optimizer(config))
    images, held_out = build.build_images(config)
    statistics_path = build.statistics_path(workdir)
    statistics = load_statistics(statistics_path) or fit_statistics(images)
    sampler = build.build_sampler(config, model, statistics)
    try:
        with strategy.scope():
            folder = os.path.join(workdir, "checkpoints")
            checkpoints = TrainingCheckpoints(folder, model, settings.keep_checkpoints)
            checkpoints.restore_latest()
        step = checkpoints.step
        if step > settings.num_steps:
            done = f"be at least the {step} steps already done"
            raise InvalidArgument("config.training.num_steps", done, settings.num_steps)
        save_config(config, config_path)
        if not os.path.exists(statistics_path):
            save_statistics(statistics, statistics_path)
    except (OSError, tf.errors.OpError) as error:
        advice = f"be writable ({one_line(error)})"
        raise InvalidArgument("--workdir", advice, workdir) from error

    monitor = Monitor(os.path.join(workdir, "tensorboard"), step)
    if step == 0:
        monitor.text("config", f"```\n{config}\n```", step=0)
    observer = Observer(
        model,
        monitor,
        held_out[: settings.validation_images],
        settings.batch_size,
        compile_chain(sampler, config.sampling.show_every),
        config.sampling.seed + np.arange(settings.preview_images),
        os.path.join(workdir, "samples"),
        build.true_energy(config),
    )
    replicas = strategy.num_replicas_in_sync
    batches = strategy.distribute_datasets_from_function(
        lambda _: training_batches(
            images, settings.batch_size, config.seed, config.data.flip, step, replicas
        )
    )
    _LOGGER.info(
        "%s: %d training images, %s parameters, %d %s replica(s), from step %d to %d",
        *(workdir, len(images), f"{model.network.count_params():,}", replicas),
        *("GPU" if tf.config.list_logical_devices("GPU") else "CPU", step, settings.num_steps),
    )
    with _stop_on_signals() as stop_requested:
        _loop(settings, model, batches, checkpoints, observer, stop_requested)


def _loop(
    settings: ConfigDict,
    model: EnergyModel,
    batches: tf.distribute.DistributedDataset,
    checkpoints: TrainingCheckpoints,
    observer: Observer,
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
            with _naming(step + 1):
                history = run_steps(iterator, tf.constant(count)).numpy()
            observer.count(count, time.monotonic() - started)
            _require_finite(history, step, checkpoints)
            step += count
            bar.update(count)
            bar.set_postfix(loss=f"{history[-1, 0]:.4g}", refresh=False)
            for happen, every in events.items():
                if every and step % every == 0:
                    with _naming(step):
                        happen(step)
        _save(checkpoints, observer)
    ending = "finished" if step == last else "stopped; run again to continue"
    _LOGGER.info("step %d: %s", step, ending)


@contextlib.contextmanager
def _naming(step: int) -> Iterator[None]:
    """What fails in the block is said to have failed at this step."""
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        raise RunError(f"step {step}: {one_line(error)}") from error


def _next_multiple(step: int, every: int) -> int:
    """The first multiple of an interval after a step; none for 0."""
    return (step // every + 1) * every if every else 2**31


def _save(checkpoints: TrainingCheckpoints, observer: Observer) -> None:
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


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGTERM or SIGINT has come; the same again kills.

    After a SIGINT the block ends with a KeyboardInterrupt, so that scripts stop with it.
    """
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
    if signal.SIGINT in received:
        raise KeyboardInterrupt
