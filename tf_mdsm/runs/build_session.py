"""From a configuration to a training session: data, model, checkpoints, monitor."""

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.file import load_config, save_config
from tf_mdsm.config.rules import check_same_run
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.image_statistics import (
    ImageStatistics,
    load_statistics,
    save_statistics,
)
from tf_mdsm.distributed.gpus import unknown_to_xla
from tf_mdsm.distributed.workers import Workers
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.runs.build_data import RunImages, build_run_images, build_true_energy, sample_shape
from tf_mdsm.runs.build_method import build_method
from tf_mdsm.runs.build_model import (
    build_model,
    build_optimizer,
    build_strategy,
    set_constant_rate,
)
from tf_mdsm.runs.build_statistics import build_statistics
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import (
    ImageRecord,
    describe_images,
    load_record,
    require_same_images,
    save_record,
)
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.sized import sized
from tf_mdsm.system.locks import training_lock
from tf_mdsm.training.checkpoints import TrainingCheckpoints, kept_guide_step, newest_step
from tf_mdsm.training.compiled_loop import compile_steps
from tf_mdsm.training.monitor import Preview, SampleDistance, TrainingMonitor
from tf_mdsm.training.rollback import rate_factor
from tf_mdsm.training.session import LoopSettings, TrainingSession, require_same_run
from tf_mdsm.training.tensorboard import EventWriter

__all__ = ["open_session"]

_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def open_session(config: ConfigDict, workdir: str) -> Iterator[TrainingSession]:
    """Prepares training up to its next step: data, model, and the newest checkpoint of a folder.

    Inside the block no other process can train in the folder.

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used.
        RunError: if a worker is lost, or none of the checkpoints can be read.
    """
    with contextlib.ExitStack() as lock:
        yield _prepare(config, RunFolder(workdir), lock)


def _prepare(config: ConfigDict, folder: RunFolder, lock: contextlib.ExitStack) -> TrainingSession:
    """Builds the session; `lock` receives the lock on the folder."""
    _require_same_settings(config, folder)
    # Workers meet first: nothing of TensorFlow may come before.
    strategy = build_strategy(config)
    workers = Workers(strategy)
    if not workers.is_chief:
        logging.getLogger("tf_mdsm").setLevel(logging.WARNING)
    with workers.errors_at("the start"):
        # The model, the images and all that is built from them.
        with strategy.scope():
            model = build_model(config)
        images = build_run_images(config)
        known = load_record(folder)
        record = describe_images(config, images, known)
        if not config.data.allow_other_images:
            _require_known_images(config, folder, record)
        is_same = known is None or record.is_of(known)
        kept = load_statistics(folder.image_statistics) if is_same else None
        statistics = build_statistics(config, images.training, kept)
        preview = _build_preview(config, folder, model, statistics)
        distance = None
        if config.training.evaluate_every and workers.is_chief:
            distance = _build_sample_distance(config, folder, images)
        # The state of the run, which no other process changes from here on.
        with _writing_to(folder, workers):
            _lock(config, folder, workers=workers, record=record, lock=lock)
        factor = rate_factor(folder.checkpoints, config.training.rollback_rate)
        with strategy.scope():
            model.compile(build_optimizer(config, factor))
        with _writing_to(folder, workers):
            checkpoints = _restore(config, folder, model=model, workers=workers, record=record)
        set_constant_rate(config, model.optimizer, factor)
        if workers.is_chief:
            _keep_images(folder, record, statistics, checkpoints)
        monitor = TrainingMonitor(
            model=model,
            writer=_open_writer(config, folder, workers, checkpoints.step),
            validation_images=np.array(images.validation[: config.training.validation_images]),
            batch_size=config.training.batch_size,
            images_at_once=_images_at_once(config, strategy),
            preview=preview,
            sample_distance=distance,
        )
    _log_start(
        config,
        folder,
        model=model,
        workers=workers,
        num_images=images.num_training,
        step=checkpoints.step,
    )
    if workers.is_chief:
        _warn_without_guide(config, folder, checkpoints.step)
    return TrainingSession(
        settings=_loop_settings(config),
        model=model,
        run_steps=compile_steps(model),
        batches=iter(_distribute_batches(config, images, strategy, workers, checkpoints.step)),
        checkpoints=checkpoints,
        monitor=monitor,
        workers=workers,
    )


def _require_same_settings(config: ConfigDict, folder: RunFolder) -> None:
    """Refuses settings with which a begun run cannot go on."""
    if os.path.exists(folder.config):
        check_same_run(config, load_config(folder.config))


def _require_known_images(config: ConfigDict, folder: RunFolder, record: ImageRecord) -> None:
    """Refuses other images than those of a run that has been trained on some."""
    known = load_record(folder)
    if known is not None and newest_step(folder.checkpoints):
        require_same_images(config, known, record)


def _loop_settings(config: ConfigDict) -> LoopSettings:
    """Length and intervals of `config.training`."""
    names = [field.name for field in dataclasses.fields(LoopSettings)]
    return LoopSettings(**{name: config.training[name] for name in names})


def _images_at_once(config: ConfigDict, strategy: tf.distribute.Strategy) -> int:
    """Images that a replica works on at a time in a training step."""
    settings = config.training
    share = settings.batch_size // strategy.num_replicas_in_sync
    return share // settings.accumulation_steps


def _build_preview(
    config: ConfigDict, folder: RunFolder, model: EnergyModel, statistics: ImageStatistics
) -> Preview:
    """Preview samples by the run's own method."""
    method = build_method(config, statistics)
    target = sized(model, sample_shape(config)[:2])
    return Preview(
        sample=functools.partial(
            compile_chain(target, method, config.sampling.show_every), kept_chains=0
        ),
        seeds=config.sampling.seed + np.arange(config.training.preview_images),
        folder=folder.samples,
        true_energy=build_true_energy(config),
    )


def _build_sample_distance(
    config: ConfigDict, folder: RunFolder, images: RunImages
) -> SampleDistance:
    """How samples are compared with the reference images during training."""
    # Imported here: features take their time to load, and most runs do not need them.
    from tf_mdsm.runs.build_evaluation import build_sample_distance

    return build_sample_distance(config, folder, images.training, images.validation)


@contextlib.contextmanager
def _writing_to(folder: RunFolder, workers: Workers) -> Iterator[None]:
    """Makes an error about `--workdir` of one of the operating system or of TensorFlow."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if workers.is_lost_worker(error):
            raise
        writable = f"be writable ({one_line(error)})"
        raise InvalidArgument("--workdir", writable, folder.path) from error


def _lock(
    config: ConfigDict,
    folder: RunFolder,
    *,
    workers: Workers,
    record: ImageRecord,
    lock: contextlib.ExitStack,
) -> None:
    """Locks the folder for all workers, then compares settings and images with the run's again.

    Until then another process may have begun this run, or gone on with it.
    """
    if workers.is_chief:
        lock.enter_context(training_lock(folder.checkpoints))
    workers.barrier()
    _require_same_settings(config, folder)
    _require_known_images(config, folder, record)


def _restore(
    config: ConfigDict,
    folder: RunFolder,
    *,
    model: EnergyModel,
    workers: Workers,
    record: ImageRecord,
) -> TrainingCheckpoints:
    """Restores the newest checkpoint, and writes config.json."""
    settings = config.training
    checkpoints = TrainingCheckpoints(
        folder.checkpoints, model, settings.keep_checkpoints, workers.is_chief
    )
    with model.distribute_strategy.scope():
        checkpoints.restore_latest()
    step = checkpoints.step
    if step > settings.num_steps:
        done = f"be at least the {step} steps already done"
        raise InvalidArgument("config.training.num_steps", done, settings.num_steps)
    require_same_run(
        workers,
        settings=_shared_settings(config),
        num_images=record.training,
        step=step,
        content=record.source.content,
    )
    if workers.is_chief:
        save_config(config, folder.config)
    return checkpoints


def _keep_images(
    folder: RunFolder,
    record: ImageRecord,
    statistics: ImageStatistics,
    checkpoints: TrainingCheckpoints,
) -> None:
    """Writes which images the run is trained on, and their statistics.

    Images other than those of earlier steps become the run's with the first weights that have seen
    them.

    Args:
        folder: the run's folder, locked.
        record: the images.
        statistics: their statistics.
        checkpoints: the run's checkpoints, restored.
    """
    known = load_record(folder)
    is_same = known is None or record.is_of(known)
    kept = load_statistics(folder.image_statistics) if is_same else None
    has_all = kept is not None and (kept.mixture is not None or statistics.mixture is None)
    if known is None and checkpoints.step:
        _LOGGER.info("%s: from now on known to be trained on %s", folder.path, record)

    def write() -> None:
        if not is_same:
            # No kill leaves the statistics of some images beside the record of others: where there
            # are none, the next start fits them.
            with contextlib.suppress(FileNotFoundError):
                os.remove(folder.image_statistics)
        if record != known:
            save_record(record, folder)
        if not has_all:
            save_statistics(statistics, folder.image_statistics)

    if is_same or checkpoints.step == 0:
        write()
    else:
        checkpoints.before_new_weights = write


def _shared_settings(config: ConfigDict) -> dict:
    """The configuration without the places of data, which may differ from machine to machine."""
    settings = config.to_dict()
    settings["data"] |= {"path": "", "data_dir": "", "cache": ""}
    return settings


def _open_writer(config: ConfigDict, folder: RunFolder, workers: Workers, step: int) -> EventWriter:
    """TensorBoard's writer; workers other than the chief write nothing."""
    writer = EventWriter(folder.tensorboard if workers.is_chief else None, step)
    if step == 0:
        writer.text("config", f"```\n{config}\n```", step=0)
    return writer


def _distribute_batches(
    config: ConfigDict,
    images: RunImages,
    strategy: tf.distribute.Strategy,
    workers: Workers,
    step: int,
) -> tf.distribute.DistributedDataset:
    """The batches from `step` on, each replica's share to itself."""
    return strategy.distribute_datasets_from_function(
        lambda _: training_batches(
            images.drawn_from,
            batch_size=config.training.batch_size,
            seed=config.seed,
            flip=config.data.flip,
            turn=config.data.turn,
            first_step=step,
            num_replicas=strategy.num_replicas_in_sync,
            worker=workers.rank,
            num_workers=workers.world_size,
        )
    )


def _log_start(
    config: ConfigDict,
    folder: RunFolder,
    *,
    model: EnergyModel,
    workers: Workers,
    num_images: int,
    step: int,
) -> None:
    """Logs the first line of a training run."""
    capabilities = unknown_to_xla() if config.training.jit_compile == "auto" else []
    _LOGGER.info(
        "%s: %s%d training images, %s parameters, %d %s replica(s)%s%s, from step %d to %d",
        folder.path,
        "patches of " if config.data.patches else "",
        num_images,
        f"{model.network.count_params():,}",
        model.distribute_strategy.num_replicas_in_sync,
        "GPU" if tf.config.list_logical_devices("GPU") else "CPU",
        f" without XLA (compute capability {', '.join(capabilities)})" if capabilities else "",
        f" on {workers.world_size} workers" if workers.world_size > 1 else "",
        step,
        config.training.num_steps,
    )


def _warn_without_guide(config: ConfigDict, folder: RunFolder, step: int) -> None:
    """Warns if a guide is asked for, and the run neither keeps one nor will before its end."""
    guide_step = config.training.guide_step
    will_be_kept = step < guide_step < config.training.num_steps
    if will_be_kept or kept_guide_step(folder.checkpoints):
        return
    if config.guidance != 1 or 0 < guide_step <= step:
        _LOGGER.warning(
            "no guide comes before the end: training.guide_step is %d, and the run goes from step "
            "%d to %d; other modes need --config.guidance=1",
            guide_step,
            step,
            config.training.num_steps,
        )
