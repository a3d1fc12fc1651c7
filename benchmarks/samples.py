"""Samples for benchmarks: generated once, kept on disk, and continued after an interruption."""

import os

import numpy as np

from tf_mdsm.runs.loaded_run import LoadedRun
from tf_mdsm.runs.sharded_sampling import sampling_settings
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.shards import Shards
from tf_mdsm.visualization.images import to_uint8

__all__ = ["gradient_evaluations", "kept_samples"]


def kept_samples(run: LoadedRun, count: int, folder: str) -> dict[str, np.ndarray]:
    """Samples of a run's own sampler: image n has the seed `sampling.seed` + n.

    They are read from `folder` if it holds samples of the same settings and weights.

    Args:
        run: a trained run.
        count: number of samples.
        folder: where samples are kept.

    Returns:
        `images`, uint8 [count, H, W, C]; `finite`, bool [count]: False where sampling left the
        finite numbers, as an untrained energy may make it do, and the image is gray; `gradients`,
        the gradient evaluations of each image, [count].
    """
    settings = run.config.sampling
    key = run.fingerprint({**sampling_settings(run.config), "count": count})
    path = os.path.join(folder, f"{settings.sampler}_{settings.start}_{key}.npz")
    if not os.path.exists(path):
        _write_samples(run, count, path)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _write_samples(run: LoadedRun, count: int, path: str) -> None:
    """Generates samples batch by batch, and writes all of them to `path`."""
    settings = run.config.sampling
    batch_size = settings.batch_size
    run_sampler = compile_chain(run.target, run.method)
    shards = Shards(f"{path}.shards", -(-count // batch_size))

    def sample_batch(number: int) -> dict[str, np.ndarray]:
        places = range(number * batch_size, min((number + 1) * batch_size, count))
        samples = run_sampler([settings.seed + place for place in places])
        finite = np.isfinite(samples.images).all(axis=(1, 2, 3))
        images = np.where(finite[:, None, None, None], samples.images, 0.5)
        evaluations = gradient_evaluations(
            samples.energies, run.method.max_gradient_evaluations, settings.sampler
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
