"""One part of an evaluation, and the folder that keeps it."""

import dataclasses
import json
import os

import numpy as np
from PIL import Image

from tf_mdsm import pictures
from tf_mdsm.files import folder_written_whole

__all__ = ["Metric", "Part", "load_part", "save_part"]

Metric = dict[str, object]


@dataclasses.dataclass(frozen=True)
class Part:
    """What one part of an evaluation found.

    Attributes:
        metrics: `name`, `value`, `of` (which images), `n` (how many) and what else they follow
            from each.
        pictures: captions to uint8 [H, W, 1 or 3].
    """

    metrics: list[Metric]
    pictures: dict[str, np.ndarray]


def save_part(part: Part, path: str) -> None:
    """Writes a part as a folder, whole or not at all: numbers as JSON, pictures as PNG."""
    with folder_written_whole(path) as folder:
        for number, pixels in enumerate(part.pictures.values()):
            pictures.write_png(pixels, os.path.join(folder, f"{number}.png"))
        content = {"metrics": part.metrics, "captions": list(part.pictures)}
        with open(os.path.join(folder, "part.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)


def load_part(path: str) -> Part:
    """Reads it back."""
    with open(os.path.join(path, "part.json"), encoding="utf-8") as file:
        content = json.load(file)
    shown = {}
    for number, caption in enumerate(content["captions"]):
        with Image.open(os.path.join(path, f"{number}.png")) as picture:
            pixels = np.asarray(picture)
        shown[caption] = pixels.reshape(*pixels.shape[:2], -1)
    return Part(content["metrics"], shown)
