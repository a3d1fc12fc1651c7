"""`--mode=restore`: inpainting, super-resolution, deblurring, denoising with a trained model."""

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.rules import restores_photographs
from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, errors_in_group
from tf_mdsm.evaluation.image_quality import psnr_and_ssim
from tf_mdsm.restoration.baselines import baseline_solution
from tf_mdsm.restoration.operators import LinearOperator, LowPass, require_orthonormal_rows
from tf_mdsm.restoration.solve import denoise_blindly, solve
from tf_mdsm.restoration.tasks import Task, create_task, fitting_tasks
from tf_mdsm.runs.build_method import with_ascent, with_own_sampler
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import build_images_of_run
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.runs.restore_photographs import restore_photographs
from tf_mdsm.runs.results import reserved_stem
from tf_mdsm.samplers.base import Method
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.system.atomic import atomic_write, write_json
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.system.image_files import image_paths, read_images, read_mask
from tf_mdsm.system.pixel_values import PixelCheck, require_noisy_pixels
from tf_mdsm.visualization.images import image_grid, write_png
from tf_mdsm.weightings import trains_denoiser

__all__ = ["restore"]

_LOGGER = logging.getLogger(__name__)

# Maximum number of images, one in each row, in the PNG file of a task.
_MAX_ROWS = 16

# The field that names own images.
_IMAGES = "config.restoration.images"


def restore(config: ConfigDict, workdir: str) -> list[str]:
    """Restores images by the tasks `config.restoration.task`, with a run's checkpoint.

    Solution k of image n follows from the seed `restoration.seed + n num_solutions + k`.
    Photographs of any size: `restore_photographs`.

    Args:
        config: the run's configuration.
        workdir: the run's folder.

    Returns:
        paths of the files written under `workdir/restorations` for each task: `<task>.npz`
        (`measured` as images of full size [N, H, W, C], `restored` [N, solutions, H, W, C],
        `original` if known; float32, not clipped), `<task>.png` (one row for each image:
        original, measured, restored), and `<task>.json` (PSNR, SSIM, and the settings). Earlier
        results of other images, settings or weights stay: then a hash is added to the name.

    Raises:
        InvalidArgument: if there is no checkpoint, if the images or the mask have a wrong shape or
            wrong values, or if a task does not fit the images.
        RunError: if the checkpoint cannot be read, or restored images are not finite.
    """
    if restores_photographs(config):
        return restore_photographs(config, workdir)
    # The model, the tasks and the method. Wrong settings are refused before the model is built.
    settings, own_config = config.restoration, with_own_sampler(config)
    run = load_run(config, workdir).without_guided_steps()
    has_denoiser = trains_denoiser(config.noise.weighting)
    tasks = _create_tasks(settings, run.image_shape, has_denoiser=has_denoiser)
    solver = _Solver(
        method=run.restoration_method,
        name=settings.sampler,
        start=settings.start,
        sampling=own_config.sampling,
    )
    written = []
    for problem in _read_problems(config, run.folder, tasks, run.image_shape):
        is_denoising = problem.task.operator is None
        own_solver = _build_denoiser(run) if is_denoising else solver
        restored = _restore(run.model, own_solver.method, problem, config)
        if not np.isfinite(restored).all():
            raise RunError(f"{problem.task.name}: the restored images are not finite numbers")
        report = {
            "task": problem.task.name,
            "sampler": own_solver.name,
            "start": own_solver.start,
            "max_gradient_evaluations": own_solver.method.max_gradient_evaluations * run.networks,
            "step": run.step,
            "weights_hash": run.weights_hash,
            "settings": settings.to_dict(),
            "sampling": own_solver.sampling.to_dict(),
        }
        if problem.originals is not None:
            report["methods"] = scores = _quality_scores(
                problem, restored, run.model, config.sampling.batch_size
            )
            summary = ", ".join(f"{name} {score['psnr']:.2f}" for name, score in scores.items())
            _LOGGER.info("%s: PSNR %s dB", problem.task.name, summary)
        key = _key(run, problem, own_solver.method)
        with reserved_stem(run.folder.restoration_stem(problem.task.name), key) as path_stem:
            written += _write(path_stem, problem, restored, {**report, "key": key})
    return written


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A restoration task and its data.

    Attributes:
        task: the task.
        originals: original images, [N, H, W, C]; None: only the values are known.
        values: known values of the task's operator, or noisy images, float32 [N, …].
        measured: the values as images of full size, [N, H, W, C].
    """

    task: Task
    originals: np.ndarray | None
    values: np.ndarray
    measured: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Solver:
    """A method of sampling, and what the report says about it.

    Attributes:
        method: the method.
        name: its name, as in `config.sampling.sampler`.
        start: the images at which it starts, as in `config.sampling.start`.
        sampling: settings of the report's entry "sampling".
    """

    method: Method
    name: str
    start: str
    sampling: ConfigDict


def _key(run: LoadedRun, problem: _Problem, method: Method) -> str:
    """Hash of what the restored images depend on: weights, method, operator, images, seeds."""
    settings = {name: run.config.restoration[name] for name in ("num_solutions", "seed")}
    images = {"values": problem.values, "originals": problem.originals}
    task = {"task": problem.task.name, "operator": _seen(problem.task.operator, run.image_shape)}
    return run.fingerprint({**settings, **images, **task, "method": method})


def _seen(operator: LinearOperator | None, image_shape: tuple[int, int, int]) -> np.ndarray | None:
    """What an operator measures of an image of noise; None for None.

    Operators of one task are told apart by it. Of an image with black or smooth parts, those with
    different masks or cutoffs may measure the same.
    """
    if operator is None:
        return None
    noise = np.random.default_rng(0).uniform(size=(1, *image_shape)).astype(np.float32)
    return operator.measure(noise).numpy()


def _build_denoiser(run: LoadedRun) -> _Solver:
    """Coarse-to-fine ascent, which estimates the noise level of an image by itself."""
    return _Solver(
        method=run.build_method(with_ascent(run.config)),
        name="coarse_to_fine",
        start="the noisy images",
        sampling=run.config.sampling,
    )


def _create_tasks(
    settings: ConfigDict, image_shape: tuple[int, int, int], *, has_denoiser: bool
) -> list[Task]:
    """The task `config.restoration.task`; for "all", all tasks that fit the images."""
    mask = None
    if settings.mask:
        mask = read_mask(settings.mask, image_shape, 1, "config.restoration.mask")[0]
    names = [settings.task]
    if settings.task == "all":
        names = fitting_tasks(image_shape, mask is not None, has_denoiser)
    tasks = []
    for name in names:
        with errors_in_group("config.restoration"):
            task = create_task(
                name,
                image_shape,
                hole=settings.hole,
                known_share=settings.known_share,
                cutoff=settings.cutoff,
                mask=mask,
                seed=settings.seed,
            )
        if task.operator is not None:
            require_orthonormal_rows(task.operator, image_shape)
        tasks.append(task)
    return tasks


def _read_problems(
    config: ConfigDict, folder: RunFolder, tasks: list[Task], image_shape: tuple[int, int, int]
) -> Iterable[_Problem]:
    """The problem of each task; all inputs are read, once, and checked before the first one."""
    settings = config.restoration
    if settings.measured:
        if not settings.images:
            given = "be given, because restoration.measured is set"
            raise InvalidArgument(_IMAGES, given, "nothing")
        return [_read_measured(config, task, image_shape) for task in tasks]
    originals = _read_originals(config, folder, image_shape)
    return (_measure(config, task, originals) for task in tasks)


def _read_measured(config: ConfigDict, task: Task, image_shape: tuple[int, int, int]) -> _Problem:
    """Own measured images, of which there are no originals."""
    if task.measured_shape is None:
        no_image = f"not be set: the values of {task.name} form no image"
        raise InvalidArgument("config.restoration.measured", no_image, True)
    measured = _read_own(config.restoration, task.measured_shape, "any")
    batch_size = config.sampling.batch_size
    values = batchwise(task.values_from_images, measured, batch_size=batch_size)
    _require_pixels(task, measured, values, _IMAGES)
    return _problem(config, task, None, values, image_shape)


def _read_originals(
    config: ConfigDict, folder: RunFolder, image_shape: tuple[int, int, int]
) -> np.ndarray:
    """Own originals, or validation images, float32 [N, H, W, C]."""
    settings = config.restoration
    if settings.images:
        return _read_own(settings, image_shape, "clean")
    _, validation = build_images_of_run(config, folder)
    return to_float_array(validation[: settings.num_images])


def _read_own(
    settings: ConfigDict, shape: tuple[int, int, int], floats: Literal["clean", "any"]
) -> np.ndarray:
    """The images of `config.restoration.images`, float32 [N, H, W, C]."""
    paths = image_paths(settings.images, _IMAGES)
    # Each file holds at least one image.
    images = read_images(paths[: settings.num_images], shape, _IMAGES, floats)
    return _require_finite(images[: settings.num_images], _IMAGES)


def _measure(config: ConfigDict, task: Task, originals: np.ndarray) -> _Problem:
    """The task's values of the originals."""
    settings, batch_size = config.restoration, config.sampling.batch_size
    if task.operator is None:
        generator = np.random.default_rng(settings.seed)
        values = batchwise(
            lambda images: _add_noise(images, settings.noise, generator),
            originals,
            batch_size=batch_size,
        )
    else:
        values = batchwise(task.operator.measure, originals, batch_size=batch_size)
    return _problem(config, task, originals, values, originals.shape[1:])


def _problem(
    config: ConfigDict,
    task: Task,
    originals: np.ndarray | None,
    values: np.ndarray,
    image_shape: tuple[int, ...],
) -> _Problem:
    """A problem of given values, which are shown as images, too."""
    measured = batchwise(
        lambda values: task.values_as_images(values, image_shape),
        values,
        batch_size=config.sampling.batch_size,
    )
    return _Problem(task, originals, values, measured)


def _add_noise(images: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """The next images under noise, float32 [B, H, W, C]."""
    return (images + sigma * generator.standard_normal(images.shape)).astype(np.float32)


def _require_finite(images: np.ndarray, field: str) -> np.ndarray:
    """The images; raises InvalidArgument if their pixels are not finite."""
    if not np.isfinite(images).all():
        raise InvalidArgument(field, "hold finite numbers", "NaN or infinity")
    return images


def _require_pixels(task: Task, measured: np.ndarray, values: np.ndarray, field: str) -> None:
    """Refuses measured images whose black and white are not 0 and 1.

    Noise and a low-pass filter carry pixels out of [0, 1]; unknown pixels are any numbers.
    """
    if task.operator is None or isinstance(task.operator, LowPass):
        require_noisy_pixels(measured, field)
    else:
        PixelCheck(field).add(values / task.value_scale)


def _restore(
    model: EnergyModel, method: Method, problem: _Problem, config: ConfigDict
) -> np.ndarray:
    """All solutions of all images, [N, solutions, H, W, C]."""
    num_solutions, seed = config.restoration.num_solutions, config.restoration.seed
    if problem.task.operator is None:
        assert isinstance(method, CoarseToFine)
        return denoise_blindly(
            model,
            method,
            problem.values,
            num_solutions=num_solutions,
            seed=seed,
            batch_size=config.sampling.batch_size,
        )
    return solve(
        model,
        method,
        problem.task.operator,
        problem.values,
        num_solutions=num_solutions,
        seed=seed,
        batch_size=config.sampling.batch_size,
    )


def _quality_scores(
    problem: _Problem, restored: np.ndarray, model: EnergyModel, batch_size: int
) -> dict[str, dict[str, Any]]:
    """PSNR and SSIM of the solutions and of simpler methods, by the method's name."""
    assert problem.originals is not None
    methods = {"solution": restored[:, 0], "mean of solutions": restored.mean(axis=1)}
    if problem.task.operator is None:
        methods["one denoising step"] = batchwise(
            model.denoise, problem.values, batch_size=batch_size
        )
        methods["noisy"] = problem.measured
    else:
        adjoint = problem.task.operator.adjoint
        methods["adjoint"] = batchwise(
            lambda values: adjoint(tf.constant(values)), problem.values, batch_size=batch_size
        )
    baseline = baseline_solution(problem.task, problem.measured)
    if baseline is not None:
        name, images = baseline
        methods[name] = images.astype(np.float32)
    return psnr_and_ssim(problem.originals, methods)


def _write(
    path_stem: str, problem: _Problem, restored: np.ndarray, report: dict[str, Any]
) -> list[str]:
    """Writes arrays (.npz), images (.png) and the report (.json) of a task; returns the paths."""
    images = {"measured": problem.measured, "restored": restored}
    if problem.originals is not None:
        images["original"] = problem.originals
    arrays: dict[str, Any] = {name: np.asarray(array, np.float32) for name, array in images.items()}
    with atomic_write(f"{path_stem}.npz") as partial:
        np.savez_compressed(partial, **arrays)
    # One row for each image: original, measured, and its solutions.
    originals = [] if problem.originals is None else [problem.originals[:_MAX_ROWS, None]]
    others = [problem.measured[:_MAX_ROWS, None], restored[:_MAX_ROWS]]
    rows = np.concatenate([*originals, *others], axis=1)
    grid = image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    write_png(grid, f"{path_stem}.png")
    write_json(report, f"{path_stem}.json")
    return [f"{path_stem}{ending}" for ending in (".npz", ".png", ".json")]
