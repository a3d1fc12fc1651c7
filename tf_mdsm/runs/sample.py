"""`--mode=sample`: samples images with a trained energy; writes arrays and pictures."""

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.distributed.cluster_sources import read_worker_rank
from tf_mdsm.distributed.strategies import local_devices
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.build_data import build_true_energy, image_shape
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.runs.results import PROVENANCE, provenance_array, reserved_stem
from tf_mdsm.runs.sharded_sampling import ShardedSamples, sample_in_shards, sampling_settings
from tf_mdsm.system.atomic import atomic_folder, atomic_write
from tf_mdsm.system.locks import job_lock
from tf_mdsm.visualization.images import (
    changing_states,
    image_grid,
    sampling_strip,
    write_gif,
    write_png,
)
from tf_mdsm.visualization.model_views import is_points, samples_picture
from tf_mdsm.visualization.plots import energy_trace

__all__ = ["sample"]

# Largest number of images in one picture.
_MAX_GRID_IMAGES = 1024


def sample(config: ConfigDict, workdir: str) -> list[str]:
    """Samples `config.sampling.num_samples` images with a run's checkpoint.

    Image n depends on the weights and on seed `config.sampling.seed + n` only. If sampling is
    killed, the next call samples what is missing. The workers of a cluster share the work, and
    the first of them writes the result. Earlier samples of other seeds, settings or weights stay:
    then a hash of all these is added to the name.

    Returns:
        the paths written under `workdir/samples`, none on workers other than the first:
        `<sampler>_<n>.npz` (`images` [N, H, W, C], uint8, or float32 for points; `energies` [N];
        `provenance`, JSON text with seed, step, weights, sampler and all its settings),
        the files of `config.sampling.extra_files`, and pictures of the samples, of the energies
        along sampling, and of some images on their way from noise (strip and GIF).

    Raises:
        InvalidArgument: without a checkpoint of this network, if nothing can be written, or if
            another process samples the same.
        RunError: if the checkpoint cannot be read, or an energy is not finite.
    """
    settings, folder = config.sampling, RunFolder(workdir)
    if settings.extra_files == "png" and is_points(image_shape(config)):
        raise InvalidArgument(
            "config.sampling.extra_files", "not be png: points are no images", "png"
        )
    stem = folder.samples_stem(settings.sampler, settings.num_samples)
    run = load_run(config, workdir, local_devices()[0])
    folder.require_writable(folder.samples)
    key = run.fingerprint(sampling_settings(config))
    rank, _ = read_worker_rank(config.training.strategy, config.training.cluster)
    with contextlib.ExitStack() as lock:
        if rank == 0:
            once = "be sampled by one process at a time with the same settings"
            lock.enter_context(job_lock(f"{stem}.{key}.lock", once))
        samples = sample_in_shards(config, workdir, stem, run=run)
        if not samples.is_chief:
            return []
        with reserved_stem(stem, key) as free:
            return _write(samples, free, key, build_true_energy(config), settings.extra_files)


def _provenance(run: LoadedRun, key: str) -> dict[str, object]:
    """What samples are of."""
    sampling = run.config.sampling
    return {
        **run.provenance,
        "weights": run.weights_of_samples,
        "weights_hash": run.weights_hash,
        "sampler": sampling.sampler,
        "seed": sampling.seed,
        "settings": sampling_settings(run.config),
        "key": key,
    }


def _write(
    samples: ShardedSamples,
    stem: str,
    key: str,
    true_energy: Callable | None,
    extra_files: str,
) -> list[str]:
    """Joins the shards into one file, writes the pictures, and removes the shards."""
    shards, run = samples.shards, samples.run
    arrays: dict[str, Any] = shards.load(["images", "energies"])
    arrays[PROVENANCE] = provenance_array(_provenance(run, key))
    states = shards.read(0, ["chain_states", "chain_energies"])
    # The arrays, for this program and for others.
    with atomic_write(f"{stem}.npz") as partial:
        np.savez_compressed(partial, **arrays)
    endings = [".npz", *_write_extra(arrays["images"], stem, extra_files)]
    # Pictures.
    images = arrays["images"][:_MAX_GRID_IMAGES]
    images = images / np.float32(255) if images.dtype == np.uint8 else images
    write_png(samples_picture(run.model, images, true_energy), f"{stem}.png")
    trace = energy_trace(states["chain_energies"], *run.method.schedule)
    write_png(trace, f"{stem}_energy.png")
    endings += [".png", "_energy.png"]
    if not is_points(run.image_shape):
        _write_states(states["chain_states"], stem)
        endings += ["_chain.png", "_chain.gif"]
    shards.remove()
    return [stem + ending for ending in endings]


def _write_extra(images: np.ndarray, stem: str, kind: str) -> list[str]:
    """Writes the images for other tools; returns the endings of the written names."""
    if kind == "arr_0":
        with atomic_write(f"{stem}_arr_0.npz") as partial:
            np.savez_compressed(partial, images)
        return ["_arr_0.npz"]
    if kind == "png":
        shutil.rmtree(stem, ignore_errors=True)
        with atomic_folder(stem) as folder:
            for number, image in enumerate(images):
                write_png(image, os.path.join(folder, f"{number:06d}.png"))
        return ["/"]
    return []


def _write_states(states: np.ndarray, stem: str) -> None:
    """Writes some images on their way from noise: a strip with a row each, and an animation.

    Args:
        states: [n, images, H, W, C].
        stem: the written names, less their endings.
    """
    write_png(sampling_strip(states), f"{stem}_chain.png")
    frames = [image_grid(state, columns=4) for state in changing_states(states)]
    write_gif(frames, f"{stem}_chain.gif")
