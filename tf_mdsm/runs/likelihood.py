"""The likelihood run: log Z of a trained energy between bounds, and bits/dim of images."""

import dataclasses
import json
import logging
import math
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict
from tqdm import tqdm

from tf_mdsm import __version__
from tf_mdsm.datasets.image_statistics import load_statistics
from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.distributed.strategies import place
from tf_mdsm.errors import RunError, errors_in_group
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.adaptation import Adaptation, adapt
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.evaluation.likelihood.summary import bits_per_dim, judge
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_likelihood import build_path
from tf_mdsm.system.atomic import atomic_write, require_writable
from tf_mdsm.system.progress import progress_bar
from tf_mdsm.system.seeds import MAX_SEED
from tf_mdsm.system.shards import Shards
from tf_mdsm.training.checkpoints import restore_weights
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import plots

__all__ = ["likelihood"]

_LOGGER = logging.getLogger(__name__)

# Seeds of the chains without weight: above all that a user may give.
_PILOT_SEEDS = MAX_SEED + 2**61

# What is made of the chains, but does not change them.
_REPORT_FIELDS = ("num_images", "tolerance", "min_effective")

Chains = dict[str, np.ndarray]


def likelihood(config: ConfigDict, workdir: str) -> list[str]:
    """Bounds log Z of a run's energy, and tells images' bits/dim.

    A pilot finds step sizes and intervals; `likelihood.num_chains` chains go up from the reference
    (lower bound); chains that are drawn from their ends by their weights, and then rest at the
    model's law, go down again (upper bound, as far as they are samples of it). What was done when
    the run is killed is not done again, as long as settings and weights stay the same.

    Returns:
        the files written under `workdir/evaluation`: `likelihood.json` and `likelihood.png`. Where
        the bounds have not converged, the JSON says why and holds null in place of values. None but
        for the first of several workers, which does it all.

    Raises:
        InvalidArgument: without a checkpoint of this network or its images, or if nothing can
            be written.
        RunError: if the checkpoint cannot be read, or an energy is not finite.
    """
    worker, _ = place(config.training.strategy, config.training.cluster)
    if worker:
        return []
    settings = config.likelihood
    model = build.build_model(config)
    step = restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)
    statistics = load_statistics(build.statistics_path(workdir))
    bridge = build_path(config, model, statistics)
    training, held_out = build.build_images(config)
    require_writable(workdir, "evaluation")
    stem = os.path.join(workdir, "evaluation", "likelihood")
    relevant = {name: v for name, v in settings.items() if name not in _REPORT_FIELDS}
    relevant["precision"] = config.training.precision
    folder = f"{stem}.{build.fingerprint(relevant, model)}.shards"
    _LOGGER.info(
        "annealing %d chains over %d temperatures up and down, from the checkpoint of step %d",
        *(settings.num_chains, settings.num_temperatures, step),
    )
    with progress_bar("annealing", _work(settings), "interval") as bar:
        pilot = _pilot(bridge, settings, folder, bar)
        with errors_in_group("config.likelihood"):
            annealing = AnnealedImportanceSampling(
                bridge, *pilot.schedule(settings.num_temperatures)
            )
        up = _up(annealing, settings, folder, bar)
        origins = bounds.resample(
            annealing.log_weights(up["differences"]), settings.num_chains, settings.seed
        )
        down = _down(annealing, up["images"][origins], settings, folder, bar)
    shown = {
        "held_out": held_out[: settings.num_images],
        "training": training[: settings.num_images],
    }
    energies = _energies(model.energy, shown, settings.batch_size)
    log_weights = {
        "up": annealing.log_weights(up["differences"]),
        "down": annealing.log_weights(down["differences"]),
    }
    found = bounds.bracket(log_weights["up"], log_weights["down"], origins)
    report = {
        "version": __version__,
        "step": step,
        "weights": "averaged" if model.ema_network is not None else "raw",
        **judge(
            found,
            _drift(down["at_rest"], origins),
            energies,
            math.prod(model.image_shape),
            settings.temperature,
            settings.tolerance,
            settings.min_effective,
        ),
        "acceptance": {"up": _summary(up["accepted"]), "down": _summary(down["accepted"])},
        "step_sizes": [float(annealing.step_sizes.min()), float(annealing.step_sizes.max())],
        "thermodynamic_length": pilot.length,
        "reference_bits_per_dim": _reference_bits(bridge, shown, settings.batch_size),
        "settings": settings.to_dict(),
    }
    _LOGGER.info("%s", report["summary"])
    chains = {name: part["differences"] for name, part in (("up", up), ("down", down))}
    picture = plots.annealing_plot(annealing.betas[:-1], chains, log_weights, report["summary"])
    _write(stem, report, picture)
    Shards(folder, 0).remove()
    return [f"{stem}.json", f"{stem}.png"]


def _write(stem: str, report: dict[str, object], picture: np.ndarray) -> None:
    pictures.write_png(picture, f"{stem}.png")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2, allow_nan=False)
        file.write("\n")


def _batches(settings: ConfigDict) -> int:
    return -(-settings.num_chains // settings.batch_size)


def _work(settings: ConfigDict) -> int:
    """Intervals that the progress bar counts."""
    both = 2 * settings.num_temperatures + settings.rest_rounds
    return 2 * (settings.pilot_temperatures - 1) + _batches(settings) * both


def _pilot(bridge: AnnealingPath, settings: ConfigDict, folder: str, bar: tqdm) -> Adaptation:
    shards = Shards(os.path.join(folder, "pilot"), 1)
    seeds = _PILOT_SEEDS + np.arange(settings.pilot_chains)

    def work(_: int) -> Chains:
        pilot = adapt(
            bridge,
            settings.pilot_temperatures,
            seeds,
            settings.pilot_rounds,
            settings.acceptance,
            bar.update,
        )
        return dataclasses.asdict(pilot)

    names = [field.name for field in dataclasses.fields(Adaptation)]
    return Adaptation(**_computed(shards, work, names, 2 * (settings.pilot_temperatures - 1), bar))


def _up(
    annealing: AnnealedImportanceSampling, settings: ConfigDict, folder: str, bar: tqdm
) -> Chains:
    shards = Shards(os.path.join(folder, "up"), _batches(settings))

    def work(number: int) -> Chains:
        path = annealing.up(settings.seed + _places(number, settings), bar.update)
        return dataclasses.asdict(path)

    names = ["images", "differences", "accepted"]
    return _computed(shards, work, names, settings.num_temperatures, bar)


def _down(
    annealing: AnnealedImportanceSampling,
    starts: np.ndarray,
    settings: ConfigDict,
    folder: str,
    bar: tqdm,
) -> Chains:
    """`at_rest` are the differences during the rounds at beta = 1, [N, rounds]."""
    shards = Shards(os.path.join(folder, "down"), _batches(settings))

    def work(number: int) -> Chains:
        places = _places(number, settings)
        seeds = settings.seed + places
        rest = annealing.rest(starts[places], seeds, settings.rest_rounds, bar.update)
        path = annealing.down(rest.images, seeds, bar.update)
        return {
            "at_rest": rest.differences,
            "differences": path.differences,
            "accepted": path.accepted,
        }

    names = ["at_rest", "differences", "accepted"]
    return _computed(shards, work, names, settings.num_temperatures + settings.rest_rounds, bar)


def _places(number: int, settings: ConfigDict) -> np.ndarray:
    """Numbers of the chains of a batch."""
    first = number * settings.batch_size
    return np.arange(first, min(first + settings.batch_size, settings.num_chains))


def _computed(
    shards: Shards, work: Callable[[int], Chains], names: list[str], intervals: int, bar: tqdm
) -> Chains:
    """What is missing is computed; what is there moves the bar on."""
    bar.update((shards.count - len(shards.missing())) * intervals)
    for _ in shards.compute(work):
        pass
    return shards.load(names)


def _energies(
    energy_fn: Callable[[tf.Tensor], tf.Tensor], sets: Chains, batch_size: int
) -> dict[str, np.ndarray]:
    """Energies of some sets of images, float64 [N] each."""
    compiled = tf.function(energy_fn, autograph=False, reduce_retracing=True)
    energies = {}
    for name, images in sets.items():
        parts = [
            compiled(to_float(tf.constant(images[first : first + batch_size]))).numpy()
            for first in range(0, len(images), batch_size)
        ]
        energies[name] = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(energies[name]).all():
            raise RunError(f"the energy of a {name} image is not finite")
    return energies


def _reference_bits(bridge: AnnealingPath, sets: Chains, batch_size: int) -> dict[str, float]:
    """What the Gaussian alone makes of the images, whose density is known exactly."""
    energies = _energies(
        lambda images: bridge.reference.energy_and_score(images)[0], sets, batch_size
    )
    size = math.prod(bridge.reference.image_shape)
    return {
        name: float(bits_per_dim(energy.mean(), 0.0, size)) for name, energy in energies.items()
    }


def _drift(at_rest: np.ndarray, origins: np.ndarray) -> float:
    """How many standard errors the chains moved on while at rest."""
    change = (at_rest[:, -1] - at_rest[:, 0]).astype(np.float64)
    error, _ = bounds.clustered_error(change, origins)
    return float(change.mean() / error) if error else 0.0


def _summary(accepted: np.ndarray) -> dict[str, float]:
    """Of shares of accepted moves, [N, n]."""
    each = accepted.mean(axis=0)
    return {"mean": float(each.mean()), "lowest": float(each.min()), "highest": float(each.max())}
