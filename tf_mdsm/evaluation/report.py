"""The report of an evaluation: one HTML page that needs nothing beside it."""

import base64
import importlib.resources
import io
import json

import jinja2
import numpy as np
from PIL import Image

from tf_mdsm.evaluation.part import Part

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
    "auroc": ("AUROC", "0.5: chance"),
    "aupr": ("AUPR", "average precision"),
    "denoising_psnr": ("PSNR after denoising, dB", "higher is better"),
    "estimated_sigma": ("estimated noise level", "mean ± standard deviation"),
}


def render_report(
    title: str, facts: dict[str, str], parts: dict[str, Part], settings: dict, likelihood: dict
) -> str:
    """The page as HTML, pictures within.

    Args:
        title: of the page.
        facts: what all numbers have in common, shown on top.
        parts: name to what was found, in the order of the page.
        settings: the run's configuration.
        likelihood: what `likelihood.json` holds; empty: nothing was estimated.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=_number, data_uri=_data_uri)
    folder = importlib.resources.files("tf_mdsm.evaluation")
    page = environment.from_string((folder / "report.html.jinja").read_text(encoding="utf-8"))
    return page.render(
        title=title,
        facts=facts,
        parts={name: (_tables(part), part.pictures) for name, part in parts.items()},
        settings=json.dumps(settings, indent=2),
        likelihood=json.dumps(likelihood, indent=2) if likelihood else "",
    )


def _tables(part: Part) -> list[dict]:
    """One a metric: title, note, what all rows share, names of columns, rows."""
    tables = []
    for name, (title, note) in _NAMES.items():
        metrics = [metric for metric in part.metrics if metric["name"] == name]
        if not metrics:
            continue
        columns = list(dict.fromkeys(key for metric in metrics for key in metric))
        columns = [key for key in columns if key not in ("name", "value", "std")]
        # What all rows share is said once.
        values = {key: [metric.get(key, "") for metric in metrics] for key in columns}
        shared = {key: cells[0] for key, cells in values.items() if len(set(cells)) == 1}
        own = [key for key in columns if key not in shared]
        rows = [
            {
                "value": metric["value"],
                "std": metric.get("std"),
                "cells": [metric.get(key, "") for key in own],
            }
            for metric in metrics
        ]
        tables.append(
            {"title": title, "note": note, "shared": shared, "columns": own, "rows": rows}
        )
    return tables


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
