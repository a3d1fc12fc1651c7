"""Bounds of the likelihood of each image, by the ancestral chain or by the flow, in shards."""

import contextlib
import dataclasses
import functools
import json
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.errors import RunError
from tf_mdsm.evaluation.likelihood.chain_bound import ChainTerms
from tf_mdsm.evaluation.likelihood.flow import FlowTerms
from tf_mdsm.evaluation.likelihood.summary import IMAGE_SET_LABELS
from tf_mdsm.runs.build_likelihood import Fit, build_bound, fit_to_images
from tf_mdsm.runs.likelihood_reports import likelihood_provenance
from tf_mdsm.runs.loaded_run import LoadedRun, arithmetic
from tf_mdsm.runs.results import PROVENANCE, provenance_array, reserved_stem
from tf_mdsm.runs.sharded_job import JobDevices, OnSteps, ShardedJob
from tf_mdsm.system.atomic import atomic_write, write_text
from tf_mdsm.system.fingerprints import fingerprint
from tf_mdsm.system.locks import job_lock
from tf_mdsm.system.shards import Arrays
from tf_mdsm.visualization.images import write_png
from tf_mdsm.visualization.plots import histograms

__all__ = ["bound_likelihood"]

_LOGGER = logging.getLogger(__name__)

# Fields of config.likelihood that the values of each method depend on.
_FIELDS = {
    "bound": ("sigma_min", "num_levels", "seed"),
    "flow": ("sigma_min", "num_probes", "flow_tolerance", "seed", "batch_size"),
}

# What the bits are of, for the report.
_MEANING = {
    "bound": "an upper bound of -log2 P(x) by the ancestral chain from the start",
    "flow": "an upper bound of -log2 P(x) by the density of the probability flow from the start",
}

# The terms of each, in the order of the report.
_PARTS = {"bound": ("start", "levels", "decoding"), "flow": ("noisy", "decoding")}

# Images whose flow is solved again, with a tolerance of a tenth, for the error of the solver.
_SOLVED_AGAIN = 16


def bound_likelihood(method: str, run: LoadedRun, image_sets: dict[str, np.ndarray]) -> list[str]:
    """Bounds -log2 P of images, "bound" or "flow", on all devices and by all workers.

    Image n of a set has the seed `likelihood.seed + n`. What was computed before a kill is not
    computed again.

    Args:
        method: "bound" or "flow".
        run: the loaded run.
        image_sets: images by the names of the report, [N, H, W, C] each.

    Returns:
        the files written under `workdir/evaluation`, `likelihood_<method>.json`, `.npz` and `.png`;
        none on workers other than the first.

    Raises:
        InvalidArgument: for a start whose density is not known, or if another process computes the
            same.
        RunError: if a value is not finite.
    """
    config, settings = run.config, run.config.likelihood
    fit = fit_to_images(run, image_sets["training"], image_sets["held_out"])
    run.folder.require_writable(run.folder.evaluation)
    if method == "flow":
        fit = dataclasses.replace(fit, sigmas=fit.sigmas[-1:])
    images = {
        name: to_float_array(pixels[: settings.num_images]) for name, pixels in image_sets.items()
    }
    seeds = np.concatenate([settings.seed + np.arange(len(pixels)) for pixels in images.values()])
    values, size = np.concatenate([*images.values()]), settings.batch_size
    key = _key(method, run, fit, values)
    stem = run.folder.likelihood_stem(method)
    job = ShardedJob(
        config,
        run,
        JobDevices(config),
        # A shard holds the images of a batch.
        folder=f"{stem}.{key}.{size}.shards",
        count=-(-len(values) // size),
        result=f"{stem}.npz",
        name=f"likelihood ({method})",
    )
    with contextlib.ExitStack() as lock:
        if job.is_chief:
            once = "be bounded by one process at a time with the same settings"
            lock.enter_context(job_lock(f"{stem}.{key}.lock", once))
        if not job.begin():
            return []
        make_function = functools.partial(_shard_function, method, fit, values, seeds)
        job.compute(make_function, steps=size, unit="image")
        if not job.is_chief:
            return []
        counts = {name: len(pixels) for name, pixels in images.items()}
        names = ["total", *(field.name for field in dataclasses.fields(_terms_type(method)))]
        found = _by_set(job.shards.load(names), counts)
        report = {
            **run.provenance,
            **likelihood_provenance(run),
            **_report(method, run, fit, found),
            "settings": settings.to_dict(),
            "key": key,
        }
        if method == "flow":
            report["solver_error"] = _solver_error(run, fit, values[:_SOLVED_AGAIN], seeds)
        _LOGGER.info("%s", report["summary"])
        with reserved_stem(stem, key) as free:
            written = _write(free, report, found)
        job.shards.remove()
        return written


def _shard_function(
    method: str,
    fit: Fit,
    values: np.ndarray,
    seeds: np.ndarray,
    run: LoadedRun,
    on_steps: OnSteps,
) -> Callable[[int], Arrays]:
    """The function of a device: the terms of a batch of images by its number."""
    bound, size = build_bound(method, run, fit), run.config.likelihood.batch_size

    def compute_shard(number: int) -> Arrays:
        rows = slice(number * size, (number + 1) * size)
        terms = bound.terms(values[rows], seeds[rows])
        if not np.isfinite(terms.total).all():
            raise RunError(f"the {method} of an image's likelihood is not finite")
        on_steps(len(terms.total))
        return {"total": terms.total, **dataclasses.asdict(terms)}

    return compute_shard


def _key(method: str, run: LoadedRun, fit: Fit, values: np.ndarray) -> str:
    """Fingerprint of what the values depend on: settings, start, decoder, weights, images."""
    settings = {name: run.config.likelihood[name] for name in _FIELDS[method]}
    fitted = {"sigmas": fit.sigmas, **dataclasses.asdict(fit.decoder)}
    start = {name: run.config.sampling[name] for name in ("start", "sigma_max")}
    return run.fingerprint(
        {
            **settings,
            **fitted,
            **start,
            "method": method,
            "images": fingerprint({}, [values]),
            "precision": arithmetic(run.config),
        }
    )


def _terms_type(method: str) -> type:
    return ChainTerms if method == "bound" else FlowTerms


def _by_set(arrays: Arrays, counts: dict[str, int]) -> dict[str, Arrays]:
    """The arrays of all images, divided into the sets of images."""
    ends = np.cumsum(list(counts.values()))
    return {
        name: {key: array[end - counts[name] : end] for key, array in arrays.items()}
        for name, end in zip(counts, ends, strict=True)
    }


def _report(method: str, run: LoadedRun, fit: Fit, found: dict[str, Arrays]) -> dict[str, object]:
    """The report of a bound: bits/dim of each set of images with their parts, and conditions."""
    config, size = run.config, math.prod(run.image_shape)
    to_bits = 1 / (size * math.log(2))
    images = {}
    for name, arrays in found.items():
        bits = to_bits * arrays["total"]
        parts = {
            part: float(to_bits * arrays[part].reshape(len(bits), -1).sum(axis=1).mean())
            for part in _PARTS[method]
        }
        images[name] = {
            "bits_per_dim": float(bits.mean()),
            "error_over_images": float(bits.std() / math.sqrt(max(len(bits) - 1, 1))),
            "num_images": len(bits),
            "parts": parts,
        }
        if method == "flow":
            errors = to_bits * arrays["probe_error"]
            known = bool(np.isfinite(errors).all())
            images[name]["probe_error_of_an_image"] = float(errors.mean()) if known else None
            images[name]["evaluations"] = float(arrays["evaluations"].mean())
    levels = fit.decoder.gray_levels
    cells = f"{levels} gray levels" if levels else "no gray levels: bits of the density"
    values = [
        f"{IMAGE_SET_LABELS[name]} {entry['bits_per_dim']:.4f} ± {entry['error_over_images']:.4f}"
        for name, entry in images.items()
    ]
    return {
        "summary": f"{method}: {', '.join(values)} bits/dim ({cells})",
        "method": method,
        "what": _MEANING[method],
        "dimension": size,
        "cells": {"gray_levels": levels},
        "start": config.sampling.start,
        "sigmas": [float(sigma) for sigma in fit.sigmas],
        "decoder": {
            "stds": fit.decoder.stds.tolist(),
            "weights": fit.decoder.weights.tolist(),
        },
        "images": images,
    }


def _solver_error(
    run: LoadedRun, fit: Fit, images: np.ndarray, seeds: np.ndarray
) -> dict[str, float]:
    """How far log densities lie from those with a tenth of the tolerance, in bits/dim."""
    seeds, finer = seeds[: len(images)], run.config.copy_and_resolve_references()
    finer.unlock()
    finer.likelihood.flow_tolerance = run.config.likelihood.flow_tolerance / 10
    totals = [
        build_bound("flow", other, fit).terms(images, seeds).total
        for other in (run, dataclasses.replace(run, config=finer))
    ]
    errors = np.abs(totals[0] - totals[1]) / (images[0].size * math.log(2))
    return {"mean": float(errors.mean()), "largest": float(errors.max()), "n": len(errors)}


def _write(stem: str, report: dict[str, object], found: dict[str, Arrays]) -> list[str]:
    """Writes `<stem>.npz`, `<stem>.png` and then `<stem>.json`; returns their paths."""
    arrays: dict[str, Any] = {
        f"{name}_{key}": array for name, parts in found.items() for key, array in parts.items()
    }
    arrays[PROVENANCE] = provenance_array(report)
    with atomic_write(f"{stem}.npz") as file:
        np.savez(file, **arrays)
    scale = 1 / (float(str(report["dimension"])) * math.log(2))
    bits = {IMAGE_SET_LABELS[name]: scale * parts["total"] for name, parts in found.items()}
    write_png(histograms(bits, f"bits per dimension ({report['method']})"), f"{stem}.png")
    write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", f"{stem}.json")
    return [f"{stem}.{ending}" for ending in ("json", "npz", "png")]
