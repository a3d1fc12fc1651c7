"""Likelihood by annealed importance sampling: bounds of log Z, and bits per dimension of images."""

import json
import logging
import math

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.distributed.cluster_sources import read_worker_rank
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.evaluation.likelihood.bits_per_dim import count_gray_levels
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.estimate import (
    AnnealingSettings,
    LogZEstimate,
    estimate_log_z,
)
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference, isotropic_reference
from tf_mdsm.evaluation.likelihood.mixture import MixtureReference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.evaluation.likelihood.reference import Reference
from tf_mdsm.evaluation.likelihood.summary import likelihood_report
from tf_mdsm.runs.build_method import mixture_start
from tf_mdsm.runs.likelihood_reports import likelihood_provenance
from tf_mdsm.runs.loaded_run import LoadedRun, arithmetic
from tf_mdsm.runs.results import reserved_stem
from tf_mdsm.system.atomic import write_text
from tf_mdsm.system.fingerprints import fingerprint
from tf_mdsm.system.locks import job_lock
from tf_mdsm.system.progress import progress_bar
from tf_mdsm.system.shards import Shards
from tf_mdsm.visualization.images import write_png
from tf_mdsm.visualization.plots import annealing_plot

__all__ = ["estimate_likelihood"]

_LOGGER = logging.getLogger(__name__)

# Fields of config.likelihood that change the report, but not the chains; and those of the other
# methods.
_REPORT_FIELDS = ("num_images", "images", "tolerance", "min_effective")
_OTHER_FIELDS = ("method", "num_levels", "sigma_min", "num_probes", "flow_tolerance")


def estimate_likelihood(run: LoadedRun, image_sets: dict[str, np.ndarray]) -> list[str]:
    """Bounds log Z of a run's energy, and reports the bits/dim of images.

    The estimate is that of `estimate_log_z`, with `likelihood.num_chains` chains in each
    direction. A killed run continues with the batches of chains that are missing, as long as
    settings and weights are the same.

    Args:
        run: the loaded run.
        image_sets: images by the names of the report, [N, H, W, C] each.

    Returns:
        the files written under `workdir/evaluation`: `likelihood.json` and `likelihood.png`; with
        a hash in their names if a likelihood of other settings, weights or images is there. If
        the bounds have not converged, the JSON gives the reasons, and null instead of values. Of
        several workers the first does everything, and the others return an empty list.

    Raises:
        InvalidArgument: for a reference that does not fit.
        RunError: if an energy is not finite.
    """
    config = run.config
    rank, _ = read_worker_rank(config.training.strategy, config.training.cluster)
    if rank > 0:
        return []
    path = _build_path(run)
    run.folder.require_writable(run.folder.evaluation)
    settings, stem = config.likelihood, run.folder.likelihood_stem("ais")
    shards_folder = f"{stem}.{_key(run)}.shards"
    _LOGGER.info(
        "annealing %d chains over %d temperatures up and down, from the checkpoint of step %d",
        settings.num_chains,
        settings.num_temperatures,
        run.step,
    )
    once = "be annealed by one process at a time with the same settings"
    # The cells are those of the run's images, for own images as well.
    gray_levels = count_gray_levels(image_sets["training"], image_sets["held_out"])
    images = {name: pixels[: settings.num_images] for name, pixels in image_sets.items()}
    with job_lock(f"{stem}.{_key(run)}.lock", once):
        estimate = _estimate(path, config, shards_folder)
        key = _result_key(run, images, gray_levels)
        report = {
            **run.provenance,
            **likelihood_provenance(run),
            **_report(estimate, run, path.reference, images, gray_levels),
            "settings": settings.to_dict(),
            "key": key,
        }
        _LOGGER.info("%s", report["summary"])
        with reserved_stem(stem, key) as free:
            written = _write(free, report, _plot(estimate, str(report["summary"])))
        Shards(shards_folder, 0).remove()
    return written


def _build_path(run: LoadedRun) -> AnnealingPath:
    """The path from `config.likelihood.reference` to the energy.

    Raises:
        InvalidArgument: for the Gaussian of the training images without their statistics, and for
            a domain that holds too little of the reference.
    """
    settings, model = run.config.likelihood, run.model
    with errors_in_group("config.likelihood"):
        reference = _build_reference(run, Domain(settings.domain_margin))
    return AnnealingPath(
        model.energy_and_score,
        reference,
        temperature=settings.temperature,
        leapfrog_steps=settings.leapfrog_steps,
        moves=settings.moves,
    )


def _build_reference(run: LoadedRun, domain: Domain) -> Reference:
    """The density of `config.likelihood.reference`, on the domain."""
    settings, model, statistics = run.config.likelihood, run.model, run.statistics
    if settings.reference == "isotropic":
        sigma = settings.reference_sigma or 1.0
        return isotropic_reference(run.image_shape, mean=0.5, sigma=sigma, domain=domain)
    if statistics is None:
        requirement = "be isotropic, as this run holds no statistics of its training images"
        raise InvalidArgument("reference", requirement, settings.reference)
    sigma = settings.reference_sigma or model.noise.sigma0 * math.sqrt(settings.temperature)
    if settings.reference == "gaussian":
        return GaussianReference(**statistics.gaussian(), sigma=sigma, domain=domain)
    if statistics.mixture is None:
        requirement = "be gaussian or isotropic, as this run keeps no mixture of its images"
        raise InvalidArgument("reference", requirement, settings.reference)
    return MixtureReference(mixture_start(statistics, statistics.mixture, sigma), domain)


def _key(run: LoadedRun) -> str:
    """Fingerprint of the settings and weights that the chains depend on."""
    settings, unused = run.config.likelihood.items(), (*_REPORT_FIELDS, *_OTHER_FIELDS)
    relevant = {name: value for name, value in settings if name not in unused}
    relevant["precision"] = arithmetic(run.config)
    return run.fingerprint(relevant)


def _result_key(run: LoadedRun, images: dict[str, np.ndarray], gray_levels: int | None) -> str:
    """Fingerprint of what the report depends on; images by their content, not by their path."""
    settings = {**run.config.likelihood.to_dict(), "images": fingerprint(images)}
    return run.fingerprint({**settings, "gray_levels": gray_levels, "chains": _key(run)})


def _estimate(path: AnnealingPath, config: ConfigDict, shards_folder: str) -> LogZEstimate:
    """The estimate by `config.likelihood`, under a progress bar."""
    fields = config.likelihood
    settings = AnnealingSettings(
        num_chains=fields.num_chains,
        batch_size=fields.batch_size,
        num_temperatures=fields.num_temperatures,
        adaptation_chains=fields.pilot_chains,
        adaptation_temperatures=fields.pilot_temperatures,
        adaptation_rounds=fields.pilot_rounds,
        acceptance=fields.acceptance,
        equilibration_rounds=fields.rest_rounds,
        seed=fields.seed,
    )
    with (
        progress_bar("annealing", settings.total_intervals, "interval") as bar,
        errors_in_group("config.likelihood"),
    ):
        return estimate_log_z(path, settings, shards_folder, bar.update)


def _report(
    estimate: LogZEstimate,
    run: LoadedRun,
    reference: Reference,
    images: dict[str, np.ndarray],
    gray_levels: int | None,
) -> dict[str, object]:
    """The report of an estimate, with bits/dim of images by the names of their sets."""
    settings = run.config.likelihood
    return likelihood_report(
        estimate,
        run.model.energy,
        reference,
        images,
        gray_levels=gray_levels,
        batch_size=settings.batch_size,
        temperature=settings.temperature,
        tolerance=settings.tolerance,
        min_effective=settings.min_effective,
        seed=settings.seed,
    )


def _plot(estimate: LogZEstimate, title: str) -> np.ndarray:
    """Draws the estimate by inverse temperature, and the weights of its chains."""
    return annealing_plot(estimate.betas[:-1], estimate.differences, estimate.log_weights, title)


def _write(stem: str, report: dict[str, object], picture: np.ndarray) -> list[str]:
    """Writes `<stem>.png` and then `<stem>.json`; returns their paths."""
    paths = [f"{stem}.json", f"{stem}.png"]
    write_png(picture, paths[1])
    write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", paths[0])
    return paths
