"""The sampling run: draws images from a trained energy and writes what one wants to see."""

import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm import build, pictures, views
from tf_mdsm.build_sampler import build_sampler
from tf_mdsm.checkpoints import restore_for_use
from tf_mdsm.cluster import local_devices, place
from tf_mdsm.datasets.statistics import load_statistics
from tf_mdsm.energy import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.files import folder_written_whole, require_writable, written_whole
from tf_mdsm.progress import progress_bar
from tf_mdsm.samplers.chains import Chain, compile_chain
from tf_mdsm.samplers.sampler import Sampler
from tf_mdsm.shards import Shards

__all__ = ["sample"]

_LOGGER = logging.getLogger(__name__)

# Images in a picture, and chains in a strip or an animation, at most.
_GRID, _STRIP, _TRACES = 1024, 8, 64

# Seconds for which a worker waits for the first one to begin.
_PATIENCE = 60


def sample(config: ConfigDict, workdir: str) -> list[str]:
    """Draws `config.sampling.num_samples` images with the newest checkpoint of a run.

    Image n is a function of the weights and of seed `config.sampling.seed + n`. What has been
    drawn when the run is killed is not drawn again; the workers of a cluster share the work, and
    the first of them writes the result.

    Returns:
        the files written under `workdir/samples`: `<sampler>_<n>.npz` (`images` [N, H, W, C],
        uint8, or float32 for points; `energies` [N]), what `config.sampling.extra_files` asks
        for, and pictures of the samples, of the energies along the chains, and of some chains
        (strip and GIF). None but for worker 0.

    Raises:
        InvalidArgument: without a checkpoint of this network, or if nothing can be written.
        RunError: if it cannot be read, or a chain leaves the finite numbers.
    """
    worker, num_workers = place(config.training.strategy, config.training.cluster)
    devices = local_devices()[: 1 if config.training.strategy == "one_device" else None]
    model, sampler, step = _load(config, workdir, devices[0])
    settings = config.sampling
    if settings.extra_files == "png" and views.is_plane(model.image_shape):
        raise InvalidArgument(
            "config.sampling.extra_files", "not be png: points are no images", "png"
        )
    stem = os.path.join(workdir, "samples", f"{settings.sampler}_{settings.num_samples}")
    require_writable(workdir, "samples")
    folder = f"{stem}.{build.fingerprint(config.to_dict(), model)}.shards"
    count = -(-settings.num_samples // settings.batch_size)
    # Each device is a worker among those of all processes.
    shares = [
        Shards(folder, count, worker * len(devices) + number, num_workers * len(devices))
        for number in range(len(devices))
    ]
    if worker and not _joined(folder, f"{stem}.npz"):
        return []
    _LOGGER.info(
        "drawing %d images from the checkpoint of step %d; up to %d gradients an image",
        *(settings.num_samples, step, sampler.gradients),
    )
    samplers = [sampler] + [_load(config, workdir, device)[1] for device in devices[1:]]
    _draw(shares, samplers, devices, settings)
    if worker:
        return []
    return _write(shares[0], stem, model, sampler, build.true_energy(config), settings.extra_files)


def _load(config: ConfigDict, workdir: str, device: str) -> tuple[EnergyModel, Sampler, int]:
    """The newest checkpoint's model and its sampler on a device, and the checkpoint's step."""
    with tf.device(device):
        model = build.build_model(config)
        step = restore_for_use(os.path.join(workdir, "checkpoints"), model)
        sampler = build_sampler(config, model, load_statistics(build.statistics_path(workdir)))
    return model, sampler, step


def _joined(folder: str, result: str) -> bool:
    """Waits for the first worker to begin; False if it has finished without us."""
    deadline = time.monotonic() + _PATIENCE
    while not os.path.isdir(folder):
        if time.monotonic() > deadline:
            if os.path.exists(result):
                _LOGGER.info("nothing to draw: the first worker has finished, or has not begun")
                return False
            raise RunError(f"the first worker has not begun to draw after {_PATIENCE} s")
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
                    drawn["chain_states"] = chain.states[:, :_STRIP]
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
    return images if views.is_plane(images.shape[1:]) else pictures.to_uint8(images)


def _write(
    shards: Shards,
    stem: str,
    model: EnergyModel,
    sampler: Sampler,
    true_energy: Callable | None,
    extra_files: str,
) -> list[str]:
    """The result in one file, and its pictures; then the shards have done their duty."""
    drawn = shards.load(["images", "energies"])
    chains = shards.read(0, ["chain_states", "chain_energies"])
    with written_whole(f"{stem}.npz") as partial:
        np.savez_compressed(partial, **drawn)
    endings = [".npz", *_write_extra(drawn["images"], stem, extra_files)]
    shown = drawn["images"][:_GRID]
    shown = shown / np.float32(255) if shown.dtype == np.uint8 else shown
    pictures.write_png(views.samples_picture(model, shown, true_energy), f"{stem}.png")
    trace = pictures.energy_trace(chains["chain_energies"], *sampler.clock)
    pictures.write_png(trace, f"{stem}_energy.png")
    endings += [".png", "_energy.png"]
    if not views.is_plane(model.image_shape):
        _write_chain(chains["chain_states"], stem)
        endings += ["_chain.png", "_chain.gif"]
    shards.remove()
    return [stem + ending for ending in endings]


def _write_extra(images: np.ndarray, stem: str, kind: str) -> list[str]:
    """The same images for other tools; returns what the names end in."""
    if kind == "arr_0":
        with written_whole(f"{stem}_arr_0.npz") as partial:
            np.savez_compressed(partial, images)
        return ["_arr_0.npz"]
    if kind == "png":
        shutil.rmtree(stem, ignore_errors=True)
        with folder_written_whole(stem) as folder:
            for number, image in enumerate(images):
                pictures.write_png(image, os.path.join(folder, f"{number:06d}.png"))
        return ["/"]
    return []


def _require_finite(chain: Chain, sampler: str) -> None:
    finite = np.isfinite(np.vstack([chain.energies, chain.energy])).all(axis=1)
    if not finite.all():
        hint = {"annealed_langevin": "; a smaller config.sampling.step_size may help"}
        step = np.argmin(finite)
        raise RunError(f"step {step} of the chain: the energy is not finite{hint.get(sampler, '')}")


def _write_chain(states: np.ndarray, stem: str) -> None:
    """A strip, one row a chain from noise to image, and the same as an animation.

    Args:
        states: [n, chains, H, W, C].
    """
    # Some chains stand still before they end.
    moved = [True, *(not np.array_equal(*pair) for pair in itertools.pairwise(states))]
    states = states[moved]
    shown = np.unique(np.linspace(0, len(states) - 1, 14).astype(int))
    rows = states[shown].swapaxes(0, 1)
    strip = pictures.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=len(shown))
    pictures.write_png(strip, f"{stem}_chain.png")
    frames = [pictures.image_grid(state, columns=4) for state in states]
    pictures.write_gif(frames, f"{stem}_chain.gif")
