"""Runs on patches, for images of any size: untrained, with a small U-Net."""

import pathlib

import numpy as np
from PIL import Image

from tests.helpers.image_data import random_uint8
from tests.helpers.small_runs import Answer, call, small_config
from tf_mdsm.runs.build_session import open_session

# The network halves its images once: its images have at least two pixels a side.
_UNET = {
    "network__name": "unet",
    "network__head": "distance",
    "network__channels": 2,
    "network__unet__num_resolutions": 2,
    "network__unet__num_blocks": 1,
    "network__unet__scale_input": True,
}


def make_photo_run(folder: pathlib.Path, channels: int, **fields) -> pathlib.Path:
    """A run's folder with a checkpoint of step 0, on patches of 8 x 8 pixels."""
    photos = folder / "photos.npz"
    np.savez(photos, images=random_uint8(20, 10, 12, channels))
    config = small_config(
        data__source="npz",
        data__path=str(photos),
        data__patches=True,
        data__channels=channels,
        **_UNET,
        **fields,
    )
    with open_session(config, str(folder / "run")) as session:
        session.checkpoints.save()
    return folder / "run"


def restore_call(workdir, images, *flags: str, task: str = "denoise", measured=True) -> Answer:
    """`--mode=restore` with few steps, by the command line."""
    return call(
        f"--workdir={workdir}",
        "--mode=restore",
        f"--config.restoration.task={task}",
        f"--config.restoration.images={images}",
        f"--config.restoration.measured={measured}",
        "--config.restoration.max_steps=2",
        *(f"--config.{flag}" for flag in flags),
    )


def save(path: pathlib.Path, pixels: np.ndarray, **options) -> np.ndarray:
    """Writes a picture of uint8 [H, W], [H, W, C] or uint16 [H, W]; returns its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def pixels_of(path: pathlib.Path) -> np.ndarray:
    """The pixels of a result, without a look at tags."""
    with Image.open(path) as image:
        return np.asarray(image)
