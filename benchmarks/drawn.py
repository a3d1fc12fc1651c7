"""Images that a sampler has drawn, kept on disk: drawn once, and a killed job goes on."""

import hashlib
import json
import os

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.build_sampler import build_sampler
from tf_mdsm.datasets.statistics import ImageStatistics
from tf_mdsm.energy import EnergyModel
from tf_mdsm.files import written_whole
from tf_mdsm.pictures import to_uint8
from tf_mdsm.samplers.chains import compile_chain
from tf_mdsm.shards import Shards

__all__ = ["draw"]


def draw(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    count: int,
    folder: str,
) -> dict[str, np.ndarray]:
    """Images by `config.sampling`'s sampler, seeds 0 … count - 1, from `folder` if they are there.

    Returns:
        `images`, uint8 [count, H, W, C], and `finite` [count]: where an energy was not trained,
        it may send a chain anywhere, and the image is grey.
    """
    name = f"{config.sampling.sampler}_{config.sampling.start}_{_key(config, model, count)}.npz"
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        size = config.sampling.batch_size
        chain = compile_chain(build_sampler(config, model, statistics))
        shards = Shards(f"{path}.shards", -(-count // size))

        def draw_shard(number: int) -> dict[str, np.ndarray]:
            images = chain(range(number * size, min((number + 1) * size, count))).images
            finite = np.isfinite(images).all(axis=(1, 2, 3))
            shown = np.where(finite[:, None, None, None], images, 0.5)
            return {"images": to_uint8(shown), "finite": finite}

        for _ in shards.compute(draw_shard):
            pass
        with written_whole(path) as partial:
            np.savez_compressed(partial, **shards.load(["images", "finite"]))
        shards.remove()
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _key(config: ConfigDict, model: EnergyModel, count: int) -> str:
    """Of everything that images follow from."""
    content = hashlib.sha256(f"{json.dumps(config.to_dict(), sort_keys=True)} {count}".encode())
    for variable in model.trained_network.variables:
        content.update(variable.numpy().tobytes())
    return content.hexdigest()[:12]
