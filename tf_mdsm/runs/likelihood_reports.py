"""Reports of likelihood in a run's folder: what they are of, and finding them again."""

import glob
import logging
import os
from typing import Any

from tf_mdsm.evaluation.likelihood_section import is_of, load_likelihood
from tf_mdsm.runs.image_record import image_key
from tf_mdsm.runs.loaded_run import LoadedRun

__all__ = ["find_likelihood", "likelihood_provenance"]

_LOGGER = logging.getLogger(__name__)


def likelihood_provenance(run: LoadedRun) -> dict[str, object]:
    """Of which weights and images a likelihood is: the entries of the report that say it."""
    return {
        "step": run.step,
        "weights_hash": run.weights_hash,
        "images_hash": image_key(run.config.data),
    }


def find_likelihood(run: LoadedRun, method: str) -> tuple[dict[str, Any], str] | None:
    """The newest report of a method's likelihood of the same weights and images, and its stem.

    Of "ais" those whose bounds have converged come first. The stem is the path less its ending.
    None if there is no such report.
    """
    stem = glob.escape(run.folder.likelihood_stem(method))
    paths = glob.glob(f"{stem}.json") + glob.glob(f"{stem}_*.json")
    provenance = likelihood_provenance(run)
    found = []
    for path in sorted(paths, key=os.path.getmtime, reverse=True):
        report = load_likelihood(path)
        # The names of the other methods begin as those of "ais".
        if report["method"] == method:
            if is_of(report, provenance):
                found.append((report, path.removesuffix(".json")))
            else:
                _LOGGER.info("%s is of other weights or other images: left out", path)
    converged = [(report, stem) for report, stem in found if report.get("log_z") is not None]
    return next(iter(converged + found), None)
