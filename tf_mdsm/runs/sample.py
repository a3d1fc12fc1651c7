"""The sampling run: draws images from a trained energy and writes what one wants to see."""

import os
import shutil
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.sharded_sampling import Drawing, draw
from tf_mdsm.system.atomic import atomic_folder, atomic_write
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import model_views as views
from tf_mdsm.visualization import plots

__all__ = ["sample"]

# Images in a picture, at most.
_GRID = 1024


def sample(config: ConfigDict, workdir: str) -> list[str]:
    """Draws `config.sampling.num_samples` images with a run's checkpoint.

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
    settings, shape = config.sampling, (config.data.image_size,) * 2 + (config.data.channels,)
    if settings.extra_files == "png" and views.is_points(shape):
        raise InvalidArgument(
            "config.sampling.extra_files", "not be png: points are no images", "png"
        )
    stem = os.path.join(workdir, "samples", f"{settings.sampler}_{settings.num_samples}")
    drawing = draw(config, workdir, stem)
    if drawing is None:
        return []
    return _write(drawing, stem, build.true_energy(config), settings.extra_files)


def _write(
    drawing: Drawing, stem: str, true_energy: Callable | None, extra_files: str
) -> list[str]:
    """The result in one file, and its pictures; then the shards have done their duty."""
    shards, model = drawing.shards, drawing.model
    drawn = shards.load(["images", "energies"])
    chains = shards.read(0, ["chain_states", "chain_energies"])
    with atomic_write(f"{stem}.npz") as partial:
        np.savez_compressed(partial, **drawn)
    endings = [".npz", *_write_extra(drawn["images"], stem, extra_files)]
    shown = drawn["images"][:_GRID]
    shown = shown / np.float32(255) if shown.dtype == np.uint8 else shown
    pictures.write_png(views.samples_picture(model, shown, true_energy), f"{stem}.png")
    trace = plots.energy_trace(chains["chain_energies"], *drawing.sampler.schedule)
    pictures.write_png(trace, f"{stem}_energy.png")
    endings += [".png", "_energy.png"]
    if not views.is_points(model.image_shape):
        _write_chain(chains["chain_states"], stem)
        endings += ["_chain.png", "_chain.gif"]
    shards.remove()
    return [stem + ending for ending in endings]


def _write_extra(images: np.ndarray, stem: str, kind: str) -> list[str]:
    """The same images for other tools; returns what the names end in."""
    if kind == "arr_0":
        with atomic_write(f"{stem}_arr_0.npz") as partial:
            np.savez_compressed(partial, images)
        return ["_arr_0.npz"]
    if kind == "png":
        shutil.rmtree(stem, ignore_errors=True)
        with atomic_folder(stem) as folder:
            for number, image in enumerate(images):
                pictures.write_png(image, os.path.join(folder, f"{number:06d}.png"))
        return ["/"]
    return []


def _write_chain(states: np.ndarray, stem: str) -> None:
    """A strip, one row a chain from noise to image, and the same as an animation.

    Args:
        states: [n, chains, H, W, C].
    """
    pictures.write_png(pictures.sampling_strip(states), f"{stem}_chain.png")
    frames = [pictures.image_grid(state, columns=4) for state in pictures.changing_states(states)]
    pictures.write_gif(frames, f"{stem}_chain.gif")
