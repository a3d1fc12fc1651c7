"""`--mode=likelihood`: bounds of log Z of a trained energy, and bits per dimension of images."""

import dataclasses
import json
import logging
import math
import os

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm import __version__
from tf_mdsm.datasets.image_statistics import ImageStatistics, load_statistics
from tf_mdsm.distributed.strategies import place
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, group
from tf_mdsm.evaluation.likelihood.estimate import (
    AnnealingSettings,
    LogZEstimate,
    estimate_log_z,
)
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference, isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.evaluation.likelihood.summary import likelihood_report
from tf_mdsm.runs import build_model as build
from tf_mdsm.system.atomic import atomic_write, require_writable
from tf_mdsm.system.progress import progress_bar
from tf_mdsm.system.shards import Shards
from tf_mdsm.training.checkpoints import restore_weights
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import plots

__all__ = ["likelihood"]

_LOGGER = logging.getLogger(__name__)

# Fields of config.likelihood that change the report, but not the chains.
_REPORT_FIELDS = ("num_images", "tolerance", "min_effective")


def likelihood(config: ConfigDict, workdir: str) -> list[str]:
    """Bounds log Z of a run's energy, and reports the bits/dim of images.

    The estimate is that of `estimate_log_z`, with `likelihood.num_chains` chains in each
    direction. A killed run continues with the batches of chains that are missing, as long as
    settings and weights are the same.

    Returns:
        the files written under `workdir/evaluation`: `likelihood.json` and `likelihood.png`. If
        the bounds have not converged, the JSON gives the reasons, and null instead of values. Of
        several workers the first does everything, and the others return an empty list.

    Raises:
        InvalidArgument: without a checkpoint of this network or its images, or if nothing can
            be written.
        RunError: if the checkpoint cannot be read, or an energy is not finite.
    """
    worker, _ = place(config.training.strategy, config.training.cluster)
    if worker:
        return []
    model = build.build_model(config)
    step = restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)
    statistics = load_statistics(build.statistics_path(workdir))
    path = _build_path(config, model, statistics)
    training, held_out = build.build_images(config)
    require_writable(workdir, "evaluation")

    settings = config.likelihood
    stem = os.path.join(workdir, "evaluation", "likelihood")
    shards_folder = f"{stem}.{_key(config, model)}.shards"
    _LOGGER.info(
        "annealing %d chains over %d temperatures up and down, from the checkpoint of step %d",
        settings.num_chains,
        settings.num_temperatures,
        step,
    )
    estimate = _estimate(path, config, shards_folder)
    image_sets = {"held_out": held_out, "training": training}
    report = {
        "version": __version__,
        "step": step,
        "weights": "averaged" if model.ema_network is not None else "raw",
        **_report(estimate, config, model, path.reference, image_sets),
        "settings": settings.to_dict(),
    }
    _LOGGER.info("%s", report["summary"])
    written = _write(stem, report, _plot(estimate, report["summary"]))
    Shards(shards_folder, 0).remove()
    return written


def _build_path(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> AnnealingPath:
    """The path from `config.likelihood.reference` to the energy.

    Args:
        config: the run's configuration.
        model: E and its score.
        statistics: mean and covariance of the training images, if the run has kept them.

    Raises:
        InvalidArgument: for the Gaussian of the training images without their statistics.
    """
    settings = config.likelihood
    if settings.reference == "isotropic":
        reference = isotropic_reference(
            model.image_shape, mean=0.5, sigma=settings.reference_sigma or 1.0
        )
    elif statistics is None:
        raise InvalidArgument(
            "config.likelihood.reference",
            "be isotropic, as this run holds no statistics of its training images",
            settings.reference,
        )
    else:
        sigma = settings.reference_sigma or model.noise.sigma0 * math.sqrt(settings.temperature)
        reference = GaussianReference(**dataclasses.asdict(statistics), sigma=sigma)
    return AnnealingPath(
        model.energy_and_score,
        reference,
        temperature=settings.temperature,
        leapfrog_steps=settings.leapfrog_steps,
        moves=settings.moves,
    )


def _key(config: ConfigDict, model: EnergyModel) -> str:
    """Fingerprint of the settings and weights that the chains depend on."""
    settings = config.likelihood.items()
    relevant = {name: value for name, value in settings if name not in _REPORT_FIELDS}
    relevant["precision"] = config.training.precision
    return build.fingerprint(relevant, model)


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
        group("config.likelihood"),
    ):
        return estimate_log_z(path, settings, shards_folder, bar.update)


def _report(
    estimate: LogZEstimate,
    config: ConfigDict,
    model: EnergyModel,
    reference: GaussianReference,
    image_sets: dict[str, np.ndarray],
) -> dict[str, object]:
    """The report of an estimate, with bits/dim of some images of each set."""
    settings = config.likelihood
    return likelihood_report(
        estimate,
        model.energy,
        reference,
        {name: images[: settings.num_images] for name, images in image_sets.items()},
        batch_size=settings.batch_size,
        temperature=settings.temperature,
        tolerance=settings.tolerance,
        min_effective=settings.min_effective,
    )


def _plot(estimate: LogZEstimate, title: str) -> np.ndarray:
    return plots.annealing_plot(
        estimate.betas[:-1], estimate.differences, estimate.log_weights, title
    )


def _write(stem: str, report: dict[str, object], picture: np.ndarray) -> list[str]:
    """Writes `<stem>.png` and then `<stem>.json`; returns their paths."""
    paths = [f"{stem}.json", f"{stem}.png"]
    pictures.write_png(picture, paths[1])
    with atomic_write(paths[0]) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2, allow_nan=False)
        file.write("\n")
    return paths
