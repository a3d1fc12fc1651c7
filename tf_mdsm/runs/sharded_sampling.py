"""Drawing many images: in shards, on all devices and by all workers, resumable."""

import dataclasses
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.datasets.image_statistics import load_statistics
from tf_mdsm.distributed.cluster_sources import read_worker_rank
from tf_mdsm.distributed.strategies import local_devices
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import RunError
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.samplers.chain import Chain, compile_chain
from tf_mdsm.system.atomic import require_writable
from tf_mdsm.system.progress import progress_bar
from tf_mdsm.system.shards import Shards
from tf_mdsm.training.checkpoints import restore_weights
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import model_views as views

__all__ = ["Drawing", "Loaded", "draw", "load", "sampling_settings"]

_LOGGER = logging.getLogger(__name__)

# Chains of the first shard whose states, and whose energies, are kept, at most.
_STATES, _TRACES = 8, 64

# Seconds for which a worker waits for the first one to begin.
_PATIENCE = 60

# Settings that drawn images follow from.
_GROUPS = ("data", "noise", "network", "sampling")


# Model, sampler, and the step of the checkpoint.
Loaded = tuple[EnergyModel, Sampler, int]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What was drawn with what.

    Attributes:
        shards: pieces with `images` [B, H, W, C] (uint8, or float32 for points) and `energies`
            [B]; piece 0 also with `chain_states` [n, chains, H, W, C] and `chain_energies`
            [steps, chains].
        model: the trained energy.
        sampler: that drew them.
    """

    shards: Shards
    model: EnergyModel
    sampler: Sampler


def draw(
    config: ConfigDict,
    workdir: str,
    stem: str,
    loaded: Loaded | None = None,
    patience: float = _PATIENCE,
) -> Drawing | None:
    """Draws `config.sampling.num_samples` images with a run's checkpoint.

    Image n is a function of the weights and of seed `config.sampling.seed + n`. What has been
    drawn when the run is killed is not drawn again; the workers of a cluster share the work.

    Args:
        stem: beginning of a path; shards are in a folder beside it, and the first worker writes
            `<stem>.npz` of them.
        loaded: what `load` gave, to draw with; None: it is loaded here.
        patience: seconds for which a worker waits for the first one to begin.

    Returns:
        all that was drawn; None but for worker 0, which clears the shards away.

    Raises:
        InvalidArgument: without a checkpoint of this network, or if nothing can be written.
        RunError: if it cannot be read, a chain leaves the finite numbers, or training has gone
            on meanwhile.
    """
    worker, num_workers = read_worker_rank(config.training.strategy, config.training.cluster)
    devices = local_devices()[: 1 if config.training.strategy == "one_device" else None]
    model, sampler, step = loaded or load(config, workdir, devices[0])
    require_writable(workdir, os.path.relpath(os.path.dirname(stem), workdir))
    settings = config.sampling
    folder = f"{stem}.{build.fingerprint(sampling_settings(config), model)}.shards"
    count = -(-settings.num_samples // settings.batch_size)
    # Each device is a worker among those of all processes.
    shares = [
        Shards(folder, count, worker * len(devices) + number, num_workers * len(devices))
        for number in range(len(devices))
    ]
    if worker and not _joined(folder, f"{stem}.npz", patience):
        return None
    _LOGGER.info(
        "drawing %d images from the checkpoint of step %d; up to %d gradients an image",
        *(settings.num_samples, step, sampler.max_gradient_evaluations),
    )
    others = [load(config, workdir, device) for device in devices[1:]]
    if any(other_step != step for _, _, other_step in others):
        raise RunError(f"another checkpoint than that of step {step} has come; run again")
    samplers = [sampler, *(other for _, other, _ in others)]
    _draw(shares, samplers, devices, settings)
    return None if worker else Drawing(shares[0], model, sampler)


def sampling_settings(config: ConfigDict) -> dict[str, object]:
    """The settings that drawn images follow from, besides the weights."""
    settings = {name: config[name].to_dict() for name in _GROUPS}
    return {**settings, "precision": config.training.precision}


def load(config: ConfigDict, workdir: str, device: str) -> Loaded:
    """The model of `config.checkpoint` and its sampler on a device, and the checkpoint's step."""
    with tf.device(device):
        model = build.build_model(config)
        step = restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)
        sampler = build_sampler(config, model, load_statistics(build.statistics_path(workdir)))
    return model, sampler, step


def _joined(folder: str, result: str, patience: float) -> bool:
    """Waits for the first worker to begin; False if it has finished without us."""
    deadline = time.monotonic() + patience
    while not os.path.isdir(folder):
        if time.monotonic() > deadline:
            if os.path.exists(result):
                _LOGGER.info("nothing to draw: the first worker has finished, or has not begun")
                return False
            raise RunError(f"the first worker has not begun to draw after {patience:g} s")
        time.sleep(0.2)
    return True


def _draw(
    shares: list[Shards], samplers: list[Sampler], devices: list[str], settings: ConfigDict
) -> None:
    """Draws what is missing, on all devices at a time; the first batch's chains are kept to be
    looked at."""
    seeds = settings.seed + np.arange(settings.num_samples)
    size, count, steps = settings.batch_size, shares[0].count, samplers[0].num_steps
    stop = threading.Event()

    def draw_share(shards: Shards, sampler: Sampler, device: str) -> None:
        with tf.device(device):
            draw = compile_chain(sampler, settings.show_every)

            def draw_shard(number: int) -> dict[str, np.ndarray]:
                chain = draw(seeds[number * size : (number + 1) * size], bar.update)
                _require_finite(chain, settings.sampler)
                drawn = {"images": _stored(chain.images), "energies": chain.energy}
                if number == 0:
                    drawn["chain_states"] = chain.states[:, :_STATES]
                    drawn["chain_energies"] = chain.energies[:, :_TRACES]
                return drawn

            for _ in shards.compute(draw_shard):
                if stop.is_set():
                    return

    done = count - len(shares[0].missing())
    if done:
        _LOGGER.info("%d of %d batches are there already", done, count)
    with progress_bar("sampling", count * steps, "step", done * steps) as bar:
        if len(devices) == 1:
            draw_share(shares[0], samplers[0], devices[0])
            return
        with ThreadPoolExecutor(len(devices)) as pool:
            try:
                list(pool.map(draw_share, shares, samplers, devices))
            finally:
                stop.set()


def _stored(images: np.ndarray) -> np.ndarray:
    return images if views.is_points(images.shape[1:]) else pictures.to_uint8(images)


def _require_finite(chain: Chain, sampler: str) -> None:
    finite = np.isfinite(np.vstack([chain.energies, chain.energy])).all(axis=1)
    if not finite.all():
        hint = {"annealed_langevin": "; a smaller config.sampling.step_size may help"}
        step = np.argmin(finite)
        raise RunError(f"step {step} of the chain: the energy is not finite{hint.get(sampler, '')}")
