"""The sampling run: draws images from a trained energy and writes what one wants to see."""

import logging
import os
import tempfile
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm import build, pictures, views
from tf_mdsm.checkpoints import restore_for_use
from tf_mdsm.datasets.statistics import load_statistics
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.files import written_whole
from tf_mdsm.progress import progress_bar
from tf_mdsm.samplers.chains import Chain, compile_chain

__all__ = ["sample"]

_LOGGER = logging.getLogger(__name__)

# Images in a picture, and chains in a strip or an animation, at most.
_GRID, _STRIP, _TRACES = 1024, 8, 64


def sample(config: ConfigDict, workdir: str) -> list[str]:
    """Draws `config.sampling.num_samples` images with the newest checkpoint of a run.

    Image n is a function of the weights and of seed `config.sampling.seed + n`.

    Returns:
        the files written under `workdir/samples`: `<sampler>_<n>.npz` (`images` [N, H, W, C],
        uint8, or float32 for points; `energies` [N]), and pictures of the samples, of the
        energies along the chains, and of some chains (strip and GIF).

    Raises:
        InvalidArgument: without a checkpoint of this network, or if nothing can be written.
        RunError: if it cannot be read, or a chain leaves the finite numbers.
    """
    model = build.build_model(config)
    sampler = build.build_sampler(config, model, load_statistics(build.statistics_path(workdir)))
    draw = compile_chain(sampler, config.sampling.show_every)
    step = restore_for_use(os.path.join(workdir, "checkpoints"), model)
    settings = config.sampling
    folder = os.path.join(workdir, "samples")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidArgument("--workdir", f"be writable ({error})", workdir) from error
    seeds = settings.seed + np.arange(settings.num_samples)
    _LOGGER.info("drawing %d images from the checkpoint of step %d", len(seeds), step)
    first, images, energies = _draw_all(draw, seeds, settings.batch_size, len(sampler.temperatures))

    stem = os.path.join(folder, f"{settings.sampler}_{settings.num_samples}")
    picture = views.samples_picture(model, images[:_GRID], build.true_energy(config))
    is_plane = views.is_plane(model.image_shape)
    with written_whole(f"{stem}.npz") as partial:
        stored = images if is_plane else pictures.to_uint8(images)
        np.savez_compressed(partial, images=stored, energies=energies)
    pictures.write_png(picture, f"{stem}.png")
    trace = pictures.energy_trace(first.energies[:, :_TRACES], sampler.temperatures)
    pictures.write_png(trace, f"{stem}_energy.png")
    endings = [".npz", ".png", "_energy.png"]
    if not is_plane:
        _write_chain(first, stem)
        endings += ["_chain.png", "_chain.gif"]
    return [stem + ending for ending in endings]


def _draw_all(
    draw: Callable[..., Chain], seeds: np.ndarray, batch_size: int, steps: int
) -> tuple[Chain, np.ndarray, np.ndarray]:
    """The first batch's chain, all images [N, H, W, C] and their energies [N]."""
    batches = [seeds[n : n + batch_size] for n in range(0, len(seeds), batch_size)]
    first, images, energies = None, [], []
    with progress_bar("sampling", len(batches) * steps, "step") as bar:
        for batch in batches:
            chain = draw(batch, bar.update)
            _require_finite(chain)
            first = first or chain
            images.append(chain.images)
            energies.append(chain.energy)
    return first, np.concatenate(images), np.concatenate(energies)


def _require_finite(chain: Chain) -> None:
    finite = np.isfinite(np.vstack([chain.energies, chain.energy])).all(axis=1)
    if not finite.all():
        raise RunError(
            f"step {np.argmin(finite)} of the chain: the energy is not finite; "
            "a smaller config.sampling.step_size may help"
        )


def _write_chain(chain: Chain, stem: str) -> None:
    """A strip, one row a chain from noise to image, and the same as an animation."""
    states = chain.states[:, :_STRIP]
    shown = np.unique(np.linspace(0, len(states) - 1, 14).astype(int))
    rows = states[shown].swapaxes(0, 1)
    strip = pictures.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=len(shown))
    pictures.write_png(strip, f"{stem}_chain.png")
    frames = [pictures.image_grid(state, columns=4) for state in states]
    pictures.write_gif(frames, f"{stem}_chain.gif")
