"""An evaluation section: its metrics and pictures, and the files that keep them."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from tf_mdsm.evaluation.likelihood.summary import IMAGE_SET_LABELS
from tf_mdsm.system.atomic import atomic_folder
from tf_mdsm.visualization.images import write_png

__all__ = ["Metric", "Section", "load_section", "read_likelihood", "save_section"]

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
        caption: _read_picture(_picture_path(path, number))
        for number, caption in enumerate(content["captions"])
    }
    return Section(content["metrics"], loaded)


def read_likelihood(stem: str, provenance: Mapping[str, object]) -> Section | None:
    """Reads the report of a likelihood run as a section.

    Args:
        stem: path of the report, `<stem>.json`, and of its picture, `<stem>.png`, without ending.
        provenance: what its entries must be, such as the hash of the weights. An entry that the
            report lacks, as it is by an earlier version, is not compared.

    Returns:
        the section, in which a metric's value is None if the bounds have not converged; None
        if there is no report, or the report of other weights or images.
    """
    if not os.path.exists(f"{stem}.json"):
        return None
    with open(f"{stem}.json", encoding="utf-8") as file:
        report = json.load(file)
    if any(report.get(name, value) != value for name, value in provenance.items()):
        return None
    conditions = {name: report[name] for name in ("step", "weights", "version")}
    conditions["method"] = "annealed importance sampling"
    metrics = [
        {
            "name": "bits_per_dim",
            "value": entry["bits_per_dim"],
            "of": IMAGE_SET_LABELS.get(name, name),
            "n": entry["num_images"],
            "bracket": _interval(entry["bracket"]),
            **conditions,
        }
        for name, entry in report["images"].items()
    ]
    log_z = {
        "name": "log_z",
        "value": report["log_z"],
        "of": "the energy",
        "bracket": _interval(report["log_z_bracket"]),
        **conditions,
    }
    return Section([*metrics, log_z], {report["summary"]: _read_picture(f"{stem}.png")})


def _interval(ends: list[float | None]) -> str:
    """Lower and upper bound as text; "?" for a bound that is not finite."""
    low, high = ("?" if end is None else f"{end:.6g}" for end in ends)
    return f"{low} … {high}"


def _picture_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number}.png")


def _read_picture(path: str) -> np.ndarray:
    """Pixels of a PNG file, uint8 [H, W, 1 or 3]."""
    with Image.open(path, formats=("PNG",)) as picture:
        pixels = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1)
