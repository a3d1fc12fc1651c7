"""Samples for benchmarks: generated once, kept on disk, and continued after an interruption."""

import os

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.runs.build_method import build_method
from tf_mdsm.runs.loaded_run import fingerprint
from tf_mdsm.runs.sharded_sampling import sampling_settings
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.shards import Shards
from tf_mdsm.visualization.images import to_uint8

__all__ = ["gradient_evaluations", "kept_samples"]


def kept_samples(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    count: int,
    folder: str,
) -> dict[str, np.ndarray]:
    """Samples of `config.sampling`'s sampler for the seeds 0 … count - 1.

    They are read from `folder` if it holds samples of the same settings and weights.

    Args:
        config: the run's configuration, with the sampler's settings.
        model: the energy model.
        statistics: of the training images, for a start at their Gaussian or mixture.
        count: number of samples.
        folder: where samples are kept.

    Returns:
        `images`, uint8 [count, H, W, C]; `finite`, bool [count]: False where sampling left the
        finite numbers, as an untrained energy may make it do, and the image is gray; `gradients`,
        the gradient evaluations of each image, [count].
    """
    key = fingerprint(
        {**sampling_settings(config), "count": count, "statistics": statistics}, model
    )
    path = os.path.join(folder, f"{config.sampling.sampler}_{config.sampling.start}_{key}.npz")
    if not os.path.exists(path):
        _write_samples(config, model, statistics, count, path)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _write_samples(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    count: int,
    path: str,
) -> None:
    """Generates samples batch by batch, and writes all of them to `path`."""
    batch_size = config.sampling.batch_size
    method = build_method(config, statistics)
    run_sampler = compile_chain(model, method)
    shards = Shards(f"{path}.shards", -(-count // batch_size))

    def sample_batch(number: int) -> dict[str, np.ndarray]:
        seeds = range(number * batch_size, min((number + 1) * batch_size, count))
        samples = run_sampler(seeds)
        finite = np.isfinite(samples.images).all(axis=(1, 2, 3))
        images = np.where(finite[:, None, None, None], samples.images, 0.5)
        evaluations = gradient_evaluations(
            samples.energies, method.max_gradient_evaluations, config.sampling.sampler
        )
        return {"images": to_uint8(images), "finite": finite, "gradients": evaluations}

    for _ in shards.compute(sample_batch):
        pass
    with atomic_write(path) as partial:
        np.savez_compressed(partial, **shards.load(["images", "finite", "gradients"]))
    shards.remove()


def gradient_evaluations(energies: np.ndarray, maximum: int, sampler: str) -> np.ndarray:
    """Gradient evaluations of each image, [B].

    Coarse-to-fine ascent stops for an image that has converged: its energy stays the same from
    then on. All other samplers take `maximum` for every image.

    Args:
        energies: energies after each step, [steps, B].
        maximum: the sampler's `max_gradient_evaluations`.
        sampler: name of the sampler.
    """
    if sampler != "coarse_to_fine":
        return np.full(energies.shape[1], maximum)
    moved = np.diff(energies, axis=0) != 0
    last_move = len(moved) - moved[::-1].argmax(axis=0)
    return np.where(moved.any(axis=0), last_move, 0) + 2
