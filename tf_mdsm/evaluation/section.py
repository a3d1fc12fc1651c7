"""One part of an evaluation, and the folder that keeps it."""

import dataclasses
import json
import os

import numpy as np
from PIL import Image

from tf_mdsm.system.atomic import atomic_folder
from tf_mdsm.visualization import images as pictures

__all__ = ["Metric", "Part", "load_part", "read_likelihood", "save_part"]

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
    with atomic_folder(path) as folder:
        for number, pixels in enumerate(part.pictures.values()):
            pictures.write_png(pixels, os.path.join(folder, f"{number}.png"))
        content = {"metrics": part.metrics, "captions": list(part.pictures)}
        with open(os.path.join(folder, "part.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)


def load_part(path: str) -> Part:
    """Reads it back."""
    with open(os.path.join(path, "part.json"), encoding="utf-8") as file:
        content = json.load(file)
    shown = {
        caption: _read_picture(os.path.join(path, f"{number}.png"))
        for number, caption in enumerate(content["captions"])
    }
    return Part(content["metrics"], shown)


def read_likelihood(stem: str, step: int, weights: str) -> Part | None:
    """What the likelihood run left at `<stem>.json` and `.png`, as a part; None if there is none
    of these weights.

    Where the bounds have not converged a metric's value is None.
    """
    if not os.path.exists(f"{stem}.json"):
        return None
    with open(f"{stem}.json", encoding="utf-8") as file:
        report = json.load(file)
    if (report.get("step"), report.get("weights")) != (step, weights):
        return None
    made = {name: report[name] for name in ("step", "weights", "version")}
    made["method"] = "annealed importance sampling"
    metrics = [
        {
            "name": "bits_per_dim",
            "value": found["bits_per_dim"],
            "of": f"{name} images".replace("_", "-"),
            "n": found["num_images"],
            "bracket": _bracket(found["bracket"]),
            **made,
        }
        for name, found in report["images"].items()
    ]
    log_z = {"name": "log_z", "value": report["log_z"], "of": "the energy"}
    metrics.append({**log_z, "bracket": _bracket(report["log_z_bracket"]), **made})
    return Part(metrics, {report["summary"]: _read_picture(f"{stem}.png")})


def _bracket(ends: list[float | None]) -> str:
    low, high = ("?" if end is None else f"{end:.6g}" for end in ends)
    return f"{low} … {high}"


def _read_picture(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1)
