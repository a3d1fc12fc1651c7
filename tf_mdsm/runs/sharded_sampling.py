"""Sampling of many images: in shards, on all devices and by all workers, resumable after a kill."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.runs.loaded_run import LoadedRun, arithmetic, load_run
from tf_mdsm.runs.sharded_job import WAIT_SECONDS, JobDevices, ShardedJob
from tf_mdsm.samplers.chain import Chain, compile_chain, require_finite
from tf_mdsm.system.fingerprints import content_of_path
from tf_mdsm.system.shards import Shards
from tf_mdsm.visualization.images import to_uint8
from tf_mdsm.visualization.model_views import is_points

__all__ = ["ShardedSamples", "sample_in_shards", "sampling_settings", "stored_pixels"]

_LOGGER = logging.getLogger(__name__)

# Of the first shard, this many images keep their states on the way from noise, and this many
# their energies.
_KEPT_STATES, _KEPT_ENERGIES = 8, 64


@dataclasses.dataclass(frozen=True)
class ShardedSamples:
    """Samples in shards, and the run that they are from.

    Attributes:
        shards: shards with `images` [B, H, W, C] (uint8, or float32 for points) and `energies`
            [B]; shard 0 also with `chain_states` [n, images, H, W, C] and `chain_energies`
            [steps, images]. The chief removes them.
        run: the run, with its energy and method.
        is_chief: whether this process is the first worker, which writes the result.
    """

    shards: Shards
    run: LoadedRun
    is_chief: bool


def sample_in_shards(
    config: ConfigDict,
    workdir: str,
    stem: str,
    *,
    run: LoadedRun | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> ShardedSamples:
    """Samples `config.sampling.num_samples` images with a run's checkpoint.

    Image n depends on the weights and on seed `config.sampling.seed + n` only. What was sampled
    before a kill is not sampled again; the workers of a cluster share the work.

    Args:
        config: the run's configuration.
        workdir: the run's folder.
        stem: beginning of a path. The shards are in a folder next to it, and the chief writes
            `<stem>.npz` from them.
        run: the loaded run, if it is loaded already.
        wait_seconds: how long a worker waits until the chief begins.

    Raises:
        InvalidArgument: without a checkpoint of this network, or if nothing can be written.
        RunError: if the checkpoint cannot be read, an energy is not finite, or training has
            continued meanwhile.
    """
    places = JobDevices(config)
    run = run or load_run(config, workdir, places.devices[0])
    run.folder.require_writable(os.path.dirname(stem))
    settings = config.sampling
    job = ShardedJob(
        config,
        run,
        places,
        folder=f"{stem}.{run.fingerprint(sampling_settings(config))}.shards",
        count=-(-settings.num_samples // settings.batch_size),
        result=f"{stem}.npz",
        name="sampling",
    )
    samples = ShardedSamples(shards=job.shards, run=run, is_chief=job.is_chief)
    if not job.begin(wait_seconds):
        return samples
    _LOGGER.info(
        "sampling %d images from the checkpoint of step %d; up to %d gradient evaluations an image",
        settings.num_samples,
        run.step,
        run.gradient_evaluations,
    )
    job.compute(
        lambda run, on_steps: _shard_function(run, settings, on_steps),
        steps=run.method.num_steps,
        unit="step",
    )
    return samples


def sampling_settings(config: ConfigDict) -> dict[str, Any]:
    """The settings that samples depend on, besides the weights; files stand for their content."""
    settings: dict[str, Any] = {name: config[name].to_dict() for name in ("noise", "network")}
    sampling = config.sampling.to_dict()
    # Samples are the same whatever other files are written.
    del sampling["extra_files"]
    if not sampling["image_size"]:  # That of the data, which follows.
        del sampling["image_size"]
    if config.guidance == 1 or not sampling["guide_sigma_max"]:
        del sampling["guide_sigma_min"], sampling["guide_sigma_max"]
    if sampling["start"] == "images":
        with contextlib.suppress(OSError):  # Whoever reads them says what is wrong.
            path = os.path.expanduser(sampling["start_images"])
            sampling["start_images"] = content_of_path(path)
    settings["data"] = {name: config.data[name] for name in ("image_size", "channels")}
    return {**settings, "sampling": sampling, "precision": arithmetic(config)}


def _shard_function(
    run: LoadedRun, settings: ConfigDict, on_steps: Callable[[int], object]
) -> Callable[[int], dict[str, np.ndarray]]:
    """A function from a shard's number to its arrays; the method is compiled once for all."""
    sample = compile_chain(run.target, run.method, settings.show_every)
    hints = {"annealed_langevin": "; a smaller config.sampling.step_size may help"}
    seeds = settings.seed + np.arange(settings.num_samples)
    size = settings.batch_size

    def compute_shard(number: int) -> dict[str, np.ndarray]:
        is_first = number == 0
        chain = sample(
            seeds[number * size : (number + 1) * size],
            on_steps,
            kept_chains=_KEPT_STATES if is_first else 0,
        )
        require_finite(chain, hints.get(settings.sampler, ""))
        return _arrays_of(chain, keep_states=is_first)

    return compute_shard


def stored_pixels(images: np.ndarray) -> np.ndarray:
    """Samples as they are stored: uint8 [N, H, W, C]; points stay float32."""
    return images if is_points(images.shape[1:]) else to_uint8(images)


def _arrays_of(chain: Chain, keep_states: bool) -> dict[str, np.ndarray]:
    """The arrays of a shard; the first shard keeps the states of some images as well."""
    arrays = {"images": stored_pixels(chain.images), "energies": chain.energy}
    if keep_states:
        arrays["chain_states"] = chain.states
        arrays["chain_energies"] = chain.energies[:, :_KEPT_ENERGIES]
    return arrays
