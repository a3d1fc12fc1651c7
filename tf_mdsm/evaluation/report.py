"""The report of an evaluation: one HTML page that needs nothing beside it."""

import base64
import importlib.resources
import io
import json

import jinja2
import numpy as np
from PIL import Image

from tf_mdsm.evaluation.section import Metric, Part

__all__ = ["render_report"]

# What a metric is called, its unit, and which way is better; in the order of the page.
_NAMES = {
    "frechet_distance": ("Fréchet distance", "lower is better"),
    "kernel_distance": ("kernel distance (MMD²)", "lower is better; 0 for equal laws"),
    "precision": ("precision", "share of these images that lie among the reference images"),
    "recall": ("recall", "share of the reference images that lie among these"),
    "inception_score": ("inception score", "higher is better"),
    "nearest_distance": ("distance to the nearest training image", "median"),
    "share_nearer_than_held_out": ("nearer than held-out images", "share; 0.05 is no memorisation"),
    "energy": ("energy E(x)", "mean ± standard deviation"),
    "bits_per_dim": ("bits per dimension", "lower is better; by the paper's formula"),
    "log_z": ("log Z", "of exp(-E / T)"),
    "auroc": ("AUROC", "0.5: chance"),
    "aupr": ("AUPR", "average precision"),
    "denoising_psnr": ("PSNR after denoising, dB", "higher is better"),
    "estimated_sigma": ("estimated noise level", "mean ± standard deviation"),
}


def render_report(
    title: str, facts: dict[str, object], parts: dict[str, Part], settings: dict
) -> str:
    """The page as HTML, pictures within.

    Args:
        title: of the page.
        facts: what all numbers have in common, shown on top.
        parts: name to what was found, in the order of the page.
        settings: the run's configuration.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(data_uri=_data_uri)
    folder = importlib.resources.files("tf_mdsm.evaluation")
    page = environment.from_string((folder / "report.html.jinja").read_text(encoding="utf-8"))
    return page.render(
        title=title,
        facts={name.replace("_", " "): value for name, value in facts.items()},
        parts={name: (_tables(part), part.pictures) for name, part in parts.items()},
        settings=json.dumps(settings, indent=2),
    )


def _tables(part: Part) -> list[dict]:
    """One a metric: title, note, what all its values share, head and rows of cells."""
    tables = []
    for name, (title, note) in _NAMES.items():
        metrics = [metric for metric in part.metrics if metric["name"] == name]
        if not metrics:
            continue
        columns = dict.fromkeys(key for metric in metrics for key in metric)
        columns = [key for key in columns if key not in ("name", "value", "std")]
        values = {key: [_text(metric.get(key, "")) for metric in metrics] for key in columns}
        shared = {key: cells[0] for key, cells in values.items() if len(set(cells)) == 1}
        own = {key: cells for key, cells in values.items() if key not in shared}
        numbers = [_value(metric) for metric in metrics]
        head, rows = _crossed(own, numbers) or _listed(own, numbers)
        shared = " · ".join(f"{key.replace('_', ' ')} {cell}" for key, cell in shared.items())
        tables.append({"title": title, "note": note, "shared": shared, "head": head, "rows": rows})
    return tables


def _listed(
    own: dict[str, list[str]], numbers: list[str]
) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """A row a value: it, and what it is of."""
    rows = zip(numbers, *own.values(), strict=True)
    head = ["value", *(key.replace("_", " ") for key in own)]
    return head, [[("value", row[0]), *(("", cell) for cell in row[1:])] for row in rows]


def _crossed(
    own: dict[str, list[str]], numbers: list[str]
) -> tuple[list[str], list[list[tuple[str, str]]]] | None:
    """One property down, the other across, where values differ in just two and fill the table."""
    if len(own) != 2:
        return None
    down, across = own.values()
    cells = dict(zip(zip(down, across, strict=True), numbers, strict=True))
    lines, heads = list(dict.fromkeys(down)), list(dict.fromkeys(across))
    if min(len(lines), len(heads)) < 2 or not len(cells) == len(numbers) == len(lines) * len(heads):
        return None
    rows = [[("", line), *(("value", cells[line, head]) for head in heads)] for line in lines]
    return [" \\ ".join(own), *heads], rows


def _value(metric: Metric) -> str:
    if metric["value"] is None:
        return "not converged"
    spread = f" ± {_text(metric['std'])}" if "std" in metric else ""
    return _text(metric["value"]) + spread


def _text(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.2f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
