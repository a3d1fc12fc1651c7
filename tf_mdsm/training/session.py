"""A training run before its first step: data, model, and what its folder holds."""

import contextlib
import dataclasses
import json
import logging
import os
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.file import load_config, save_config
from tf_mdsm.config.rules import check_same_run
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.image_statistics import fit_statistics, load_statistics, save_statistics
from tf_mdsm.distributed.strategies import Workers
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.system.locks import training_lock
from tf_mdsm.training.checkpoints import TrainingCheckpoints
from tf_mdsm.training.monitor import SampleDistance, TrainingMonitor
from tf_mdsm.training.rollback import read_rollbacks
from tf_mdsm.training.steps import compile_steps
from tf_mdsm.training.tensorboard import Monitor

__all__ = ["Run", "naming", "prepared"]

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run, ready to go on.

    Attributes:
        settings: `config.training`.
        model: as the newest checkpoint has it, if there is one.
        run_steps: `steps.compile_steps` of the model.
        batches: from the checkpoint's step on, in this worker's replicas' shares.
        checkpoints: where it stands, and where it will.
        observer: what it shows.
        workers: who takes part.
    """

    settings: ConfigDict
    model: EnergyModel
    run_steps: Callable
    batches: Iterator
    checkpoints: TrainingCheckpoints
    observer: TrainingMonitor
    workers: Workers


@contextlib.contextmanager
def prepared(config: ConfigDict, workdir: str) -> Iterator[Run]:
    """Everything before the first step: data, model, and the folder's newest checkpoint.

    In the block no other process trains in the folder.

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used, as by another process.
        RunError: for a worker that is lost, and checkpoints of which none can be read.
    """
    with contextlib.ExitStack() as alone:
        yield _prepare(config, workdir, alone)


def _prepare(config: ConfigDict, workdir: str, alone: contextlib.ExitStack) -> Run:
    config_path = os.path.join(workdir, "config.json")
    if os.path.exists(config_path):
        check_same_run(config, load_config(config_path))
    strategy = build.build_strategy(config)
    workers = Workers(strategy)
    if not workers.is_chief:
        logging.getLogger("tf_mdsm").setLevel(logging.WARNING)
    rollbacks = read_rollbacks(os.path.join(workdir, "checkpoints"))
    rate_factor = config.training.rollback_rate ** len(rollbacks)
    with naming("the start", workers):
        with strategy.scope():
            model = build.build_model(config)
            model.compile(build.build_optimizer(config, rate_factor))
        images, held_out = build.build_images(config)
        statistics_path = build.statistics_path(workdir)
        statistics = load_statistics(statistics_path) or fit_statistics(images)
        sampler = build_sampler(config, model, statistics)
        appraisal = None
        if config.training.evaluate_every and workers.is_chief:
            # Features take their time to load, and nothing else of training needs them.
            from tf_mdsm.runs.build_evaluation import build_sample_distance

            appraisal = build_sample_distance(config, workdir, images, held_out)
        checkpoints = _restore(config, model, workers, workdir, len(images), alone)
        build.set_constant_rate(config, model.optimizer, rate_factor)
        if workers.is_chief and not os.path.exists(statistics_path):
            save_statistics(statistics, statistics_path)
        observer = _observer(
            *(config, model, sampler, workers, held_out, workdir, checkpoints.step, appraisal)
        )
    step, settings = checkpoints.step, config.training
    replicas = strategy.num_replicas_in_sync
    batches = strategy.distribute_datasets_from_function(
        lambda _: training_batches(
            images,
            batch_size=settings.batch_size,
            seed=config.seed,
            flip=config.data.flip,
            first_step=step,
            num_replicas=replicas,
            worker=workers.place.index,
            num_workers=workers.place.count,
        )
    )
    _LOGGER.info(
        "%s: %d training images, %s parameters, %d %s replica(s)%s, from step %d to %d",
        *(workdir, len(images), f"{model.network.count_params():,}", replicas),
        "GPU" if tf.config.list_logical_devices("GPU") else "CPU",
        f" on {workers.place.count} workers" if workers.place.count > 1 else "",
        *(step, settings.num_steps),
    )
    return Run(settings, model, compile_steps(model), iter(batches), checkpoints, observer, workers)


def _restore(
    config: ConfigDict,
    model: EnergyModel,
    workers: Workers,
    workdir: str,
    num_images: int,
    alone: contextlib.ExitStack,
) -> TrainingCheckpoints:
    """Brings the model where the folder stands, and writes the folder's config.json."""
    settings = config.training
    try:
        folder = os.path.join(workdir, "checkpoints")
        if workers.is_chief:
            alone.enter_context(training_lock(folder))
        checkpoints = TrainingCheckpoints(
            folder, model, settings.keep_checkpoints, workers.is_chief
        )
        with model.distribute_strategy.scope():
            checkpoints.restore_latest()
        step = checkpoints.step
        if step > settings.num_steps:
            done = f"be at least the {step} steps already done"
            raise InvalidArgument("config.training.num_steps", done, settings.num_steps)
        _require_one_run(config, workers, step, num_images)
        if workers.is_chief:
            save_config(config, os.path.join(workdir, "config.json"))
    except (OSError, tf.errors.OpError) as error:
        if workers.lost_one(error):
            raise
        raise InvalidArgument("--workdir", f"be writable ({one_line(error)})", workdir) from error
    return checkpoints


def _require_one_run(config: ConfigDict, workers: Workers, step: int, num_images: int) -> None:
    """Refuses workers that would train different runs."""
    settings = config.to_dict()
    # These may have other places on each machine.
    settings["data"] |= {"path": "", "data_dir": "", "cache": ""}
    if not workers.agree([zlib.crc32(json.dumps(settings, sort_keys=True).encode())]):
        raise InvalidArgument("--config", "be the same for all workers", "different ones")
    if not workers.agree([num_images]):
        raise InvalidArgument("config.data", "be the same for all workers", f"{num_images} images")
    if not workers.agree([step]):
        raise InvalidArgument("--workdir", "be shared by all workers", f"step {step} here")


def _observer(
    config: ConfigDict,
    model: EnergyModel,
    sampler: Sampler,
    workers: Workers,
    held_out: np.ndarray,
    workdir: str,
    step: int,
    appraisal: SampleDistance | None,
) -> TrainingMonitor:
    folder = os.path.join(workdir, "tensorboard")
    monitor = Monitor(folder if workers.is_chief else None, step)
    if step == 0:
        monitor.text("config", f"```\n{config}\n```", step=0)
    settings = config.training
    return TrainingMonitor(
        model,
        monitor,
        held_out[: settings.validation_images],
        settings.batch_size,
        compile_chain(sampler, config.sampling.show_every),
        config.sampling.seed + np.arange(settings.preview_images),
        os.path.join(workdir, "samples"),
        build.true_energy(config),
        appraisal,
    )


@contextlib.contextmanager
def naming(moment: str, workers: Workers) -> Iterator[None]:
    """What fails in the block is said to have failed at this moment."""
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        if workers.lost_one(error):
            again = "start all workers again to go on from the last checkpoint"
            raise RunError(f"{moment}: a worker was lost; {again}") from error
        raise RunError(f"{moment}: {one_line(error)}") from error
