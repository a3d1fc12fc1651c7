"""The estimate of log Z in its steps: adaptation, AIS up, resampling, equilibration, AIS down.

What has been computed is kept in shards, so that a killed estimate continues where it ended.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from tf_mdsm.evaluation.likelihood.adaptation import Adaptation, adapt
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling, OnIntervals
from tf_mdsm.evaluation.likelihood.bounds import (
    LogZBounds,
    bound_log_z,
    clustered_error,
    resample,
)
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.system.seeds import MAX_SEED
from tf_mdsm.system.shards import Shards

__all__ = ["AnnealingSettings", "LogZEstimate", "estimate_log_z"]

# First seed of the adapting chains, above the seeds of all other chains.
_FIRST_ADAPTATION_SEED = MAX_SEED + 2**61

# Arrays of a shard by name.
_Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class AnnealingSettings:
    """Sizes of an annealed importance sampling estimate.

    Attributes:
        num_chains: chains up, and as many down.
        batch_size: chains that run at a time.
        num_temperatures: intervals between inverse temperatures.
        adaptation_chains: chains that adapt step sizes and temperatures.
        adaptation_temperatures: inverse temperatures at which they adapt, at least 3.
        adaptation_rounds: rounds of moves at each of them, at least 2.
        acceptance: wanted fraction of accepted moves, in (0, 1).
        equilibration_rounds: rounds of moves at beta = 1 before chains go down.
        seed: first seed of the chains up and down, at least 0.
    """

    num_chains: int
    batch_size: int
    num_temperatures: int
    adaptation_chains: int
    adaptation_temperatures: int
    adaptation_rounds: int
    acceptance: float
    equilibration_rounds: int
    seed: int

    @property
    def num_batches(self) -> int:
        """Number of batches of chains in each direction."""
        return -(-self.num_chains // self.batch_size)

    @property
    def adaptation_intervals(self) -> int:
        """Intervals of the adaptation, up and down."""
        return 2 * (self.adaptation_temperatures - 1)

    @property
    def down_intervals(self) -> int:
        """Intervals of a batch of chains down, with its rounds of equilibration."""
        return self.equilibration_rounds + self.num_temperatures

    @property
    def total_intervals(self) -> int:
        """Intervals of the whole estimate, for a progress bar."""
        per_batch = self.num_temperatures + self.down_intervals
        return self.adaptation_intervals + self.num_batches * per_batch

    def chain_indices(self, batch: int) -> np.ndarray:
        """Indices of the chains of a batch, among all chains of a direction."""
        first = batch * self.batch_size
        return np.arange(first, min(first + self.batch_size, self.num_chains))


@dataclasses.dataclass(frozen=True)
class LogZEstimate:
    """Bounds of log Z on the reference's domain, and the chains behind them.

    The dictionaries have the keys "up" and "down".

    Attributes:
        bounds: bounds of log Z.
        drift: change of the mean of E_ref - E / T during the equilibration, in standard errors.
        thermodynamic_length: as in `Adaptation`.
        betas: inverse temperatures, float32 [n + 1].
        step_sizes: epsilon of each interval, in pixel units, float32 [n].
        differences: E_ref - E / T of each chain at each interval, float32 [N, n].
        log_weights: log weights of the chains, float64 [N].
        accepted: fractions of accepted moves, float32 [N, n].
        states: states of the chains up at the end, resampled by their weights, [N, H, W, C].
    """

    bounds: LogZBounds
    drift: float
    thermodynamic_length: float
    betas: np.ndarray
    step_sizes: np.ndarray
    differences: dict[str, np.ndarray]
    log_weights: dict[str, np.ndarray]
    accepted: dict[str, np.ndarray]
    states: np.ndarray


def estimate_log_z(
    path: AnnealingPath,
    settings: AnnealingSettings,
    folder: str,
    on_intervals: OnIntervals = lambda _: None,
) -> LogZEstimate:
    """Bounds log Z by chains up from the reference and down again.

    Chains that are used for nothing else adapt step sizes and inverse temperatures. Chains up
    give the lower bound. Their final states are resampled by their weights, and equilibrated by
    moves at beta = 1. From there, chains down give the upper bound.

    Args:
        path: the densities between the reference and the energy, and the moves.
        settings: sizes of the estimate.
        folder: folder of the shards. Shards that it contains already are not computed again.
            Another path or other settings need another folder.
        on_intervals: called with the number of intervals that have just been completed,
            `settings.total_intervals` in all; those of shards that already exist are counted.

    Raises:
        InvalidArgument: about `num_temperatures`, if there are too many.
        RunError: if an energy is not finite, or no move is accepted.
    """
    adaptation = _adapt(path, settings, folder, on_intervals)
    annealing = AnnealedImportanceSampling(path, *adaptation.schedule(settings.num_temperatures))
    up = _run_up(annealing, settings, folder, on_intervals)
    log_weights_up = annealing.log_weights(up["differences"])
    origins = resample(log_weights_up, settings.num_chains, settings.seed)
    down = _run_down(annealing, up["images"][origins], settings, folder, on_intervals)
    log_weights_down = annealing.log_weights(down["differences"])
    return LogZEstimate(
        bounds=bound_log_z(log_weights_up, log_weights_down, origins=origins).plus(
            path.reference.log_mass
        ),
        drift=_drift(down["at_rest"], origins),
        thermodynamic_length=adaptation.thermodynamic_length,
        betas=annealing.betas,
        step_sizes=annealing.step_sizes,
        differences={"up": up["differences"], "down": down["differences"]},
        log_weights={"up": log_weights_up, "down": log_weights_down},
        accepted={"up": up["accepted"], "down": down["accepted"]},
        states=up["images"][origins],
    )


# The shards' folders (pilot, up, down) and arrays (at_rest, …) are named as earlier versions name
# them, so that their estimates can be continued: `pilot` is the adaptation, and `at_rest` the
# differences during the equilibration.


def _adapt(
    path: AnnealingPath, settings: AnnealingSettings, folder: str, on_intervals: OnIntervals
) -> Adaptation:
    seeds = _FIRST_ADAPTATION_SEED + np.arange(settings.adaptation_chains)

    def compute(_: int) -> _Arrays:
        adaptation = adapt(
            path,
            num_betas=settings.adaptation_temperatures,
            seeds=seeds,
            rounds=settings.adaptation_rounds,
            acceptance=settings.acceptance,
            on_betas=on_intervals,
        )
        return dataclasses.asdict(adaptation)

    shards = Shards(os.path.join(folder, "pilot"), 1)
    names = [field.name for field in dataclasses.fields(Adaptation)]
    arrays = _compute_missing(shards, compute, names, settings.adaptation_intervals, on_intervals)
    return Adaptation(**arrays)


def _run_up(
    annealing: AnnealedImportanceSampling,
    settings: AnnealingSettings,
    folder: str,
    on_intervals: OnIntervals,
) -> _Arrays:
    """Chains up: `images`, `differences`, `accepted` of `AnnealedChains`."""

    def compute(batch: int) -> _Arrays:
        chains = annealing.run_up(settings.seed + settings.chain_indices(batch), on_intervals)
        return dataclasses.asdict(chains)

    shards = Shards(os.path.join(folder, "up"), settings.num_batches)
    names = ["images", "differences", "accepted"]
    return _compute_missing(shards, compute, names, settings.num_temperatures, on_intervals)


def _run_down(
    annealing: AnnealedImportanceSampling,
    starts: np.ndarray,
    settings: AnnealingSettings,
    folder: str,
    on_intervals: OnIntervals,
) -> _Arrays:
    """Chains down: `differences`, `accepted`; `at_rest`, [N, rounds], from the equilibration."""

    def compute(batch: int) -> _Arrays:
        indices = settings.chain_indices(batch)
        seeds = settings.seed + indices
        equilibrated = annealing.equilibrate(
            starts[indices], seeds, settings.equilibration_rounds, on_intervals
        )
        chains = annealing.run_down(equilibrated.images, seeds, on_intervals)
        return {
            "at_rest": equilibrated.differences,
            "differences": chains.differences,
            "accepted": chains.accepted,
        }

    shards = Shards(os.path.join(folder, "down"), settings.num_batches)
    names = ["at_rest", "differences", "accepted"]
    return _compute_missing(shards, compute, names, settings.down_intervals, on_intervals)


def _compute_missing(
    shards: Shards,
    compute: Callable[[int], _Arrays],
    names: list[str],
    intervals: int,
    on_intervals: OnIntervals,
) -> _Arrays:
    """Computes the shards that are missing, and loads some arrays of all; each has `intervals`."""
    on_intervals((shards.count - len(shards.missing())) * intervals)
    for _ in shards.compute(compute):
        pass
    return shards.load(names)


def _drift(differences: np.ndarray, origins: np.ndarray) -> float:
    """Change of the mean of [N, rounds] from the first to the last round, in standard errors."""
    change = (differences[:, -1] - differences[:, 0]).astype(np.float64)
    error, _ = clustered_error(change, origins)
    return float(change.mean() / error) if error else 0.0
