"""Images that a sampler has drawn, kept on disk: drawn once, and a killed job goes on."""

import os

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.runs.build_model import fingerprint
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.runs.sharded_sampling import sampling_settings
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.shards import Shards
from tf_mdsm.visualization.images import to_uint8

__all__ = ["draw", "gradients_taken"]


def draw(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    count: int,
    folder: str,
) -> dict[str, np.ndarray]:
    """Images by `config.sampling`'s sampler, seeds 0 … count - 1, from `folder` if they are there.

    Returns:
        `images`, uint8 [count, H, W, C]; `finite` [count]: where an energy was not trained, it
        may send a chain anywhere, and the image is grey; `gradients` that each took, [count].
    """
    key = fingerprint({**sampling_settings(config), "count": count}, model)
    name = f"{config.sampling.sampler}_{config.sampling.start}_{key}.npz"
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        size = config.sampling.batch_size
        sampler = build_sampler(config, model, statistics)
        chain = compile_chain(sampler)
        shards = Shards(f"{path}.shards", -(-count // size))

        def draw_shard(number: int) -> dict[str, np.ndarray]:
            drawn = chain(range(number * size, min((number + 1) * size, count)))
            finite = np.isfinite(drawn.images).all(axis=(1, 2, 3))
            shown = np.where(finite[:, None, None, None], drawn.images, 0.5)
            return {
                "images": to_uint8(shown),
                "finite": finite,
                "gradients": gradients_taken(
                    drawn.energies, sampler.max_gradient_evaluations, config.sampling.sampler
                ),
            }

        for _ in shards.compute(draw_shard):
            pass
        with atomic_write(path) as partial:
            np.savez_compressed(partial, **shards.load(["images", "finite", "gradients"]))
        shards.remove()
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def gradients_taken(energies: np.ndarray, at_most: int, sampler: str) -> np.ndarray:
    """Gradients that each image took, [B], from the energies along its chain [steps, B].

    An image of coarse-to-fine ascent that has arrived keeps its energy.
    """
    if sampler != "coarse_to_fine":
        return np.full(energies.shape[1], at_most)
    moved = np.diff(energies, axis=0) != 0
    last_move = len(moved) - moved[::-1].argmax(axis=0)
    return np.where(moved.any(axis=0), last_move, 0) + 2
