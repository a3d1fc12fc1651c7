"""The sampling run: draws images from a trained energy and writes what one wants to see."""

import hashlib
import itertools
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm import build, pictures, views
from tf_mdsm.checkpoints import restore_for_use
from tf_mdsm.cluster import place
from tf_mdsm.datasets.statistics import load_statistics
from tf_mdsm.energy import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.files import written_whole
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
        uint8, or float32 for points; `energies` [N]), and pictures of the samples, of the
        energies along the chains, and of some chains (strip and GIF). None but for worker 0.

    Raises:
        InvalidArgument: without a checkpoint of this network, or if nothing can be written.
        RunError: if it cannot be read, or a chain leaves the finite numbers.
    """
    worker, num_workers = place(config.training.strategy, config.training.cluster)
    model = build.build_model(config)
    sampler = build.build_sampler(config, model, load_statistics(build.statistics_path(workdir)))
    step = restore_for_use(os.path.join(workdir, "checkpoints"), model)
    settings = config.sampling
    stem = os.path.join(workdir, "samples", f"{settings.sampler}_{settings.num_samples}")
    _require_writable(workdir)
    shards = Shards(
        f"{stem}.{_fingerprint(config, model)}.shards",
        -(-settings.num_samples // settings.batch_size),
        worker,
        num_workers,
    )
    if worker and not _joined(shards.folder, f"{stem}.npz"):
        return []
    _LOGGER.info(
        "drawing %d images from the checkpoint of step %d; up to %d gradients an image",
        *(settings.num_samples, step, sampler.gradients),
    )
    _draw(shards, compile_chain(sampler, settings.show_every), settings, sampler.num_steps)
    return [] if worker else _write(shards, stem, model, sampler, build.true_energy(config))


def _require_writable(workdir: str) -> None:
    folder = os.path.join(workdir, "samples")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidArgument("--workdir", f"be writable ({error})", workdir) from error


def _fingerprint(config: ConfigDict, model: EnergyModel) -> str:
    """Of everything that images follow from: other settings or weights, other shards."""
    content = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    for variable in model.trained_network.variables:
        content.update(variable.numpy().tobytes())
    return content.hexdigest()[:12]


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


def _draw(shards: Shards, draw: Callable[..., Chain], settings: ConfigDict, steps: int) -> None:
    """Draws what is missing; the first batch's chains are kept to be looked at."""
    seeds = settings.seed + np.arange(settings.num_samples)
    size = settings.batch_size

    def draw_shard(number: int) -> dict[str, np.ndarray]:
        chain = draw(seeds[number * size : (number + 1) * size], bar.update)
        _require_finite(chain, settings.sampler)
        drawn = {"images": _stored(chain.images), "energies": chain.energy}
        if number == 0:
            drawn["chain_states"] = chain.states[:, :_STRIP]
            drawn["chain_energies"] = chain.energies[:, :_TRACES]
        return drawn

    done = shards.count - len(shards.missing())
    if done:
        _LOGGER.info("%d of %d batches are there already", done, shards.count)
    with progress_bar("sampling", shards.count * steps, "step", done * steps) as bar:
        for _ in shards.compute(draw_shard):
            pass


def _stored(images: np.ndarray) -> np.ndarray:
    return images if views.is_plane(images.shape[1:]) else pictures.to_uint8(images)


def _write(
    shards: Shards,
    stem: str,
    model: EnergyModel,
    sampler: Sampler,
    true_energy: Callable | None,
) -> list[str]:
    """The result in one file, and its pictures; then the shards have done their duty."""
    drawn = shards.load(["images", "energies"])
    chains = shards.read(0, ["chain_states", "chain_energies"])
    with written_whole(f"{stem}.npz") as partial:
        np.savez_compressed(partial, **drawn)
    shown = drawn["images"][:_GRID]
    shown = shown / np.float32(255) if shown.dtype == np.uint8 else shown
    pictures.write_png(views.samples_picture(model, shown, true_energy), f"{stem}.png")
    trace = pictures.energy_trace(chains["chain_energies"], *sampler.clock)
    pictures.write_png(trace, f"{stem}_energy.png")
    endings = [".npz", ".png", "_energy.png"]
    if not views.is_plane(model.image_shape):
        _write_chain(chains["chain_states"], stem)
        endings += ["_chain.png", "_chain.gif"]
    shards.remove()
    return [stem + ending for ending in endings]


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
