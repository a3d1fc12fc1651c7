"""An evaluation section: its metrics and pictures, and the files that keep them."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tf_mdsm.system.atomic import atomic_folder
from tf_mdsm.visualization.images import write_png

__all__ = [
    "Metric",
    "Section",
    "joined_sections",
    "load_section",
    "read_section_picture",
    "save_section",
]

# One number with its conditions, an entry of metrics.json: `name`, `value`, `of` (the images that
# it describes), `n` (how many they are), perhaps `std`, and everything else that it depends on.
Metric = dict[str, Any]

# The file of a section's folder that holds its numbers and captions. The folders of all sections
# are in `evaluation/parts`, and the setting that selects sections is `evaluation.parts`.
_FILE = "part.json"


@dataclasses.dataclass(frozen=True)
class Section:
    """The results of one section of an evaluation.

    Attributes:
        metrics: numbers with their conditions.
        pictures: captions to uint8 [H, W, 1 or 3].
    """

    metrics: list[Metric]
    pictures: dict[str, np.ndarray]


def save_section(section: Section, path: str) -> None:
    """Writes a section as a folder, atomically: numbers as JSON, pictures as PNG.

    Args:
        section: the results.
        path: the folder, which appears complete or not at all.
    """
    with atomic_folder(path) as folder:
        for number, pixels in enumerate(section.pictures.values()):
            write_png(pixels, _picture_path(folder, number))
        content = {"metrics": section.metrics, "captions": list(section.pictures)}
        with open(os.path.join(folder, _FILE), "w", encoding="utf-8") as file:
            json.dump(content, file)


def load_section(path: str) -> Section:
    """Reads a section from the folder that `save_section` has written."""
    with open(os.path.join(path, _FILE), encoding="utf-8") as file:
        content = json.load(file)
    loaded = {
        caption: read_section_picture(_picture_path(path, number))
        for number, caption in enumerate(content["captions"])
    }
    return Section(content["metrics"], loaded)


def joined_sections(sections: Sequence[Section]) -> Section:
    """One section with the metrics and pictures of several, in their order."""
    metrics = [metric for section in sections for metric in section.metrics]
    pictures = {name: pixels for part in sections for name, pixels in part.pictures.items()}
    return Section(metrics, pictures)


def _picture_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number}.png")


def read_section_picture(path: str) -> np.ndarray:
    """Pixels of a PNG file, uint8 [H, W, 1 or 3]."""
    with Image.open(path, formats=("PNG",)) as picture:
        pixels = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1)
