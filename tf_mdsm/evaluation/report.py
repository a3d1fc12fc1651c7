"""The HTML report of an evaluation: one page that contains its pictures."""

import base64
import importlib.resources
import io
import json

import jinja2
import numpy as np
from PIL import Image

from tf_mdsm.evaluation.section_files import Metric, Section

__all__ = ["render_report"]

# Headings of the sections.
_HEADINGS = {
    "quality": "Sample quality",
    "memorisation": "Memorization",
    "energies": "Energies",
    "outliers": "Out-of-distribution images",
    "denoising": "Denoising",
    "likelihood": "Likelihood",
}

# Title of each metric and a note on its unit or direction, in the order of the page.
_TITLES = {
    "frechet_distance": ("Fréchet distance", "lower is better"),
    "kernel_distance": (
        "Kernel distance (MMD²)",
        "lower is better; 0 in expectation for equal distributions",
    ),
    "precision": (
        "Precision",
        "fraction of these images that lie among the reference images",
    ),
    "recall": ("Recall", "fraction of the reference images that lie among these images"),
    "inception_score": ("Inception score", "higher is better"),
    "nearest_distance": ("Distance to the nearest training image", "median"),
    "share_nearer_than_held_out": (
        "Nearer to a training image than validation images are",
        "fraction; 0.05 means no memorization",
    ),
    "energy": ("Energy E(x)", "mean ± standard deviation"),
    "bits_per_dim": ("Bits per dimension", "lower is better; each method has a density of its own"),
    "log_z": ("log Z", "of exp(-E / T)"),
    "auroc": ("AUROC", "0.5 is chance"),
    "aupr": ("AUPR", "average precision"),
    "denoising_psnr": ("PSNR after denoising, dB", "higher is better"),
    "estimated_sigma": ("Estimated noise level", "mean ± standard deviation"),
}

# Conditions that have another name in text than in metrics.json.
_LABELS = {"bracket": "bounds", "against": "compared with", "against_n": "n of the comparison"}

# Rows of a table: cells of (CSS class, text).
_Rows = list[list[tuple[str, str]]]


def render_report(
    title: str, facts: dict[str, object], sections: dict[str, Section], settings: dict
) -> str:
    """Renders the page as HTML. It loads nothing from elsewhere.

    Args:
        title: title of the page.
        facts: conditions that all numbers share, shown at the top.
        sections: name of a section to its results, in the order of the page.
        settings: the run's configuration.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(data_uri=_data_uri)
    folder = importlib.resources.files("tf_mdsm.evaluation")
    page = environment.from_string((folder / "report.html.jinja").read_text(encoding="utf-8"))
    return page.render(
        title=title,
        facts={name.replace("_", " "): value for name, value in facts.items()},
        sections=[
            {
                "name": name,
                "heading": _HEADINGS.get(name, name.capitalize()),
                "tables": _tables(section),
                "pictures": section.pictures,
            }
            for name, section in sections.items()
        ],
        settings=json.dumps(settings, indent=2),
    )


def _tables(section: Section) -> list[dict]:
    """One table for each metric: title, note, common conditions, header and rows of cells."""
    tables = []
    for name, (title, note) in _TITLES.items():
        metrics = [metric for metric in section.metrics if metric["name"] == name]
        if not metrics:
            continue
        keys = dict.fromkeys(key for metric in metrics for key in metric)
        columns = {
            key: [_text(metric.get(key, "")) for metric in metrics]
            for key in keys
            if key not in ("name", "value", "std")
        }
        common = {key: cells[0] for key, cells in columns.items() if len(set(cells)) == 1}
        varying = {key: cells for key, cells in columns.items() if key not in common}
        values = [_value(metric) for metric in metrics]
        header, rows = _cross_table(varying, values) or _list_table(varying, values)
        tables.append(
            {
                "title": title,
                "note": note,
                "common": " · ".join(f"{_label(key)} {cell}" for key, cell in common.items()),
                "header": header,
                "rows": rows,
            }
        )
    return tables


def _list_table(varying: dict[str, list[str]], values: list[str]) -> tuple[list[str], _Rows]:
    """Header and rows of a table with one row for each value, followed by its conditions."""
    header = ["value", *(_label(key) for key in varying)]
    rows = zip(values, *varying.values(), strict=True)
    return header, [[("value", value), *(("", cell) for cell in cells)] for value, *cells in rows]


def _cross_table(
    varying: dict[str, list[str]], values: list[str]
) -> tuple[list[str], _Rows] | None:
    """Header and rows of a table of two conditions, one down and one across.

    None unless just two conditions vary, and there is one value for each pair.
    """
    if len(varying) != 2:
        return None
    down, across = varying.values()
    cells = dict(zip(zip(down, across, strict=True), values, strict=True))
    lines, columns = list(dict.fromkeys(down)), list(dict.fromkeys(across))
    is_complete = len(cells) == len(values) == len(lines) * len(columns)
    if min(len(lines), len(columns)) < 2 or not is_complete:
        return None
    rows = [[("", line), *(("value", cells[line, column]) for column in columns)] for line in lines]
    return [" \\ ".join(map(_label, varying)), *columns], rows


def _label(key: str) -> str:
    return _LABELS.get(key, key.replace("_", " "))


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
    """A picture, uint8 [H, W, 1 or 3], as a data URI of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
