"""The restoring run: images from what was measured of them, by the trained energy."""

import dataclasses
import json
import logging
import os

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.rules import validate
from tf_mdsm.datasets.image_statistics import load_statistics
from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, group
from tf_mdsm.evaluation import image_quality as quality
from tf_mdsm.restoration.baselines import baseline_solution
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import require_orthonormal_rows
from tf_mdsm.restoration.tasks import Task, create_task, fitting_tasks
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.samplers.conditioning import Known, KnownPixels
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.image_files import image_paths, read_images, read_mask
from tf_mdsm.training.checkpoints import restore_weights
from tf_mdsm.visualization import images as pictures

__all__ = ["restore"]

_LOGGER = logging.getLogger(__name__)

# Rows of the strip, at most.
_ROWS = 16


def restore(config: ConfigDict, workdir: str) -> list[str]:
    """Solves the inverse problems `config.restoration.task` with a run's checkpoint.

    Solution k of image n follows from seed `restoration.seed + n num_solutions + k`.

    Returns:
        the files written under `workdir/restorations` for each task: `<task>.npz` (`measured`
        as pictures [N, H, W, C], `restored` [N, solutions, H, W, C], `original` if known, float32
        and not clipped), `<task>.png` (a row an image: original, measured, restored), and
        `<task>.json` (PSNR and SSIM, and how the images were made).

    Raises:
        InvalidArgument: without a checkpoint, for images or a mask that do not fit, or a task
            that does not.
        RunError: if the checkpoint cannot be read, or a chain leaves the finite numbers.
    """
    settings, restoring = config.restoration, _with_own_sampler(config)
    model = build.build_model(config)
    step = restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)
    statistics = load_statistics(build.statistics_path(workdir))
    tasks = _create_tasks(settings, model.image_shape)
    sampler = build_sampler(restoring, model, statistics)
    inputs = {task.name: _read(config, task) for task in tasks}
    written = []
    for task in tasks:
        originals, values = inputs[task.name]
        if task.measurement is None:
            ascent = _ascent(config, model, statistics)
            restored = _denoise(ascent, values, settings)
            used = ascent
        else:
            restored = _solve(sampler, task, values, settings, config.sampling.batch_size)
            used = sampler
        if not np.isfinite(restored).all():
            raise RunError(f"{task.name}: the chain has left the finite numbers")
        measured = values if task.measurement is None else task.picture(values, model.image_shape)
        report = {
            "task": task.name,
            "sampler": settings.sampler if task.measurement else "coarse_to_fine",
            "start": settings.start if task.measurement else "the noisy images",
            "gradients_at_most": used.max_gradient_evaluations,
            "step": step,
            "settings": settings.to_dict(),
            "sampling": (restoring if task.measurement else config).sampling.to_dict(),
        }
        if originals is not None:
            scores = _scores(task, originals, measured, restored, model, values)
            report["methods"] = scores
            summary = ", ".join(f"{name} {score['psnr']:.2f}" for name, score in scores.items())
            _LOGGER.info("%s: PSNR %s dB", task.name, summary)
        written += _write(workdir, task.name, originals, measured, restored, report)
    return written


def _with_own_sampler(config: ConfigDict) -> ConfigDict:
    """The configuration with `config.restoration`'s sampler as that of `config.sampling`."""
    own = {name: config.restoration[name] for name in ("sampler", "start", "beta", "max_steps")}
    changed = ConfigDict(config.to_dict())
    changed.sampling.update(own)
    try:
        return validate(changed)
    except InvalidArgument as error:
        field = error.field.replace("config.sampling.", "config.restoration.")
        if field.rsplit(".", 1)[1] not in own:
            raise
        raise InvalidArgument(field, error.requirement, error.received) from error


def _create_tasks(settings: ConfigDict, image_shape: tuple[int, int, int]) -> list[Task]:
    mask = None
    if settings.mask:
        path, field = os.path.expanduser(settings.mask), "config.restoration.mask"
        mask = read_mask(path, image_shape, 1, field)[0].round()
    names = [settings.task]
    if settings.task == "all":
        names = fitting_tasks(image_shape, mask is not None)
    tasks = []
    for name in names:
        with group("config.restoration"):
            task = create_task(
                name,
                image_shape,
                settings.hole,
                settings.known_share,
                settings.cutoff,
                mask,
                settings.seed,
            )
        if task.measurement is not None:
            require_orthonormal_rows(task.measurement, image_shape)
        tasks.append(task)
    return tasks


def _read(config: ConfigDict, task: Task) -> tuple[np.ndarray | None, np.ndarray]:
    """Originals [N, H, W, C], None if only what was measured of them is there, and values."""
    settings, count = config.restoration, config.restoration.num_images
    field = "config.restoration.images"
    image_shape = (config.data.image_size, config.data.image_size, config.data.channels)
    if settings.images and settings.measured:
        if task.damaged_shape is None:
            no_file = f"not be set: {task.name} measures no picture"
            raise InvalidArgument("config.restoration.measured", no_file, True)
        damaged = read_images(image_paths(settings.images, field), task.damaged_shape, field)[
            :count
        ]
        return None, task.values(_require_finite(damaged, field))
    if settings.images:
        originals = read_images(image_paths(settings.images, field), image_shape, field)[:count]
        _require_finite(originals, field)
    elif settings.measured:
        raise InvalidArgument(field, "be given: restoration.measured is about them", "nothing")
    else:
        originals = to_float(tf.constant(build.build_images(config)[1][:count])).numpy()
    if task.measurement is None:
        noise = np.random.default_rng(settings.seed).standard_normal(originals.shape)
        return originals, (originals + settings.noise * noise).astype(np.float32)
    return originals, task.measurement.measure(tf.constant(originals)).numpy()


def _require_finite(images: np.ndarray, field: str) -> np.ndarray:
    if not np.isfinite(images).all():
        raise InvalidArgument(field, "hold finite numbers", "NaN or infinity")
    return images


def _seeds(settings: ConfigDict, count: int) -> np.ndarray:
    return settings.seed + np.arange(count * settings.num_solutions)


def _solve(
    sampler: Sampler, task: Task, values: np.ndarray, settings: ConfigDict, batch_size: int
) -> np.ndarray:
    """All solutions of all images, [N, solutions, H, W, C]."""

    def known(values: tf.Tensor, seeds: tf.Tensor) -> Known:
        if task.mask is None:
            return KnownMeasurement(task.measurement, values, seeds)
        mask = tf.ones_like(values[..., :1]) * task.mask
        return KnownPixels(values, mask, seeds)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *values.shape[1:]]),
            tf.TensorSpec([None], tf.int64),
        ],
        autograph=False,
    )
    def solve(values, seeds):
        return sampler.restore(known(values, seeds))

    repeated, seeds = values.repeat(settings.num_solutions, axis=0), _seeds(settings, len(values))
    parts = [
        solve(repeated[first : first + batch_size], seeds[first : first + batch_size]).numpy()
        for first in range(0, len(seeds), batch_size)
    ]
    restored = np.concatenate(parts)
    return restored.reshape(len(values), settings.num_solutions, *restored.shape[1:])


def _ascent(config: ConfigDict, model: EnergyModel, statistics) -> Sampler:
    """Coarse-to-fine ascent, which finds out by itself how noisy an image is."""
    changed = ConfigDict(config.to_dict())
    changed.sampling.update(sampler="coarse_to_fine", start="isotropic")
    return build_sampler(changed, model, statistics)


def _denoise(ascent: Sampler, noisy: np.ndarray, settings: ConfigDict) -> np.ndarray:
    """All solutions of all images: the ascent begins at the noisy images themselves."""
    repeated = tf.constant(noisy.repeat(settings.num_solutions, axis=0))
    sampler = dataclasses.replace(ascent, start_fn=lambda _: repeated)
    seeds = tf.constant(_seeds(settings, len(noisy)))
    restored = tf.function(sampler.draw, autograph=False)(seeds).numpy()
    return restored.reshape(len(noisy), settings.num_solutions, *noisy.shape[1:])


def _scores(
    task: Task,
    originals: np.ndarray,
    measured: np.ndarray,
    restored: np.ndarray,
    model: EnergyModel,
    values: np.ndarray,
) -> dict[str, dict[str, object]]:
    """PSNR and SSIM, mean and of each image, of the solutions and of what else one could do."""
    methods = {"solution": restored[:, 0], "mean of solutions": restored.mean(axis=1)}
    if task.measurement is None:
        methods["one denoising step"] = model.denoise(values).numpy()
        methods["noisy"] = measured
    else:
        methods["adjoint"] = task.measurement.adjoint(tf.constant(values)).numpy()
    standard = baseline_solution(task, measured)
    if standard is not None:
        methods[standard[0]] = standard[1].astype(np.float32)
    return quality.psnr_and_ssim(originals, methods)


def _write(
    workdir: str,
    name: str,
    originals: np.ndarray | None,
    measured: np.ndarray,
    restored: np.ndarray,
    report: dict,
) -> list[str]:
    stem = os.path.join(workdir, "restorations", name)
    arrays = {"measured": measured, "restored": restored}
    if originals is not None:
        arrays["original"] = originals
    with atomic_write(f"{stem}.npz") as partial:
        np.savez_compressed(partial, **{key: np.float32(value) for key, value in arrays.items()})
    known = [] if originals is None else [originals[:, None]]
    rows = np.concatenate([*known, measured[:, None], restored], axis=1)[:_ROWS]
    strip = pictures.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    pictures.write_png(strip, f"{stem}.png")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    return [f"{stem}{ending}" for ending in (".npz", ".png", ".json")]
