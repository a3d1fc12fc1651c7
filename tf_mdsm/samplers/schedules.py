"""Schedules: arrays that say what a sampler does at each step."""

from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = [
    "annealing_temperatures",
    "falling_sigmas",
    "growing_step_sizes",
    "require_schedule",
]


def annealing_temperatures(
    initial: float = 100.0,
    hot_steps: int = 500,
    cooling_steps: int = 2_000,
    final_steps: int = 200,
    cooling: str = "exponential",
) -> np.ndarray:
    """The temperature of every step of annealed Langevin dynamics (MDSM, section 4).

    `hot_steps` at the initial temperature; `cooling_steps` from there to 1, as
    T_i = initial^(1 - i / cooling_steps) or linearly; `final_steps` falling linearly from 1
    to 0. The defaults are the paper's 2,700 steps.

    Args:
        initial: temperature of the first steps, at least 1.
        cooling: "exponential" or "linear".

    Returns:
        float32 [hot_steps + cooling_steps + final_steps], never rising.

    Raises:
        InvalidArgument: for another cooling, or a schedule without steps.
    """
    fall = np.arange(cooling_steps) / max(cooling_steps, 1)
    falls = {
        "exponential": lambda: initial ** (1.0 - fall),
        "linear": lambda: initial + (1.0 - initial) * fall,
    }
    if cooling not in falls:
        raise InvalidArgument("cooling", f"be one of {', '.join(falls)}", cooling)
    if hot_steps + cooling_steps + final_steps < 1:
        raise InvalidArgument("hot_steps", "leave the chain at least one step", hot_steps)
    parts = [np.full(hot_steps, initial), falls[cooling](), np.linspace(1.0, 0.0, final_steps)]
    return np.concatenate(parts).astype(np.float32)


def falling_sigmas(
    sigma_max: float, sigma_min: float, num_levels: int = 18, rho: float = 7.0
) -> np.ndarray:
    """Noise levels from sigma_max down to sigma_min (EDM, equation 5, without the last 0).

    sigma_i = (sigma_max^(1/rho) + i / (N - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho;
    the larger rho, the more of them near sigma_min.

    Args:
        sigma_max: the first level.
        sigma_min: the last level, positive.
        num_levels: N, at least 2.
        rho: at least 1; 1: equal distances.

    Returns:
        float32 [num_levels], falling.

    Raises:
        InvalidArgument: for levels that do not fall, or fewer than two.
    """
    if not 0 < sigma_min < sigma_max:
        raise InvalidArgument("sigma_min", f"lie in (0, sigma_max = {sigma_max})", sigma_min)
    if num_levels < 2:
        raise InvalidArgument("num_levels", "be at least 2", num_levels)
    ends = np.array([sigma_max, sigma_min], float) ** (1 / rho)
    sigmas = np.linspace(*ends, num_levels) ** rho
    sigmas[[0, -1]] = sigma_max, sigma_min
    return sigmas.astype(np.float32)


def growing_step_sizes(h0: float = 0.01, max_steps: int = 1_000) -> np.ndarray:
    """Step sizes of coarse-to-fine ascent (Kadkhodaie and Simoncelli, algorithm 1).

    h_t = h0 t / (1 + h0 (t - 1)), t = 1 … max_steps: from h0 towards 1.

    Args:
        h0: the first, in (0, 1].
        max_steps: how many.

    Returns:
        float32 [max_steps], never falling.
    """
    t = np.arange(1, max_steps + 1)
    return (h0 * t / (1 + h0 * (t - 1))).astype(np.float32)


def require_schedule(
    name: str, values: np.ndarray, requirement: str, holds: Callable[[np.ndarray], bool]
) -> None:
    """Refuses a schedule that a chain cannot follow.

    Args:
        name: what the user calls it.
        values: one a step.
        requirement: what they must be: "never rise".
        holds: the same as a function of them.

    Raises:
        InvalidArgument: unless they are finite numbers, [steps], at least one, and it holds.
    """
    numbers = np.asarray(values, float)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise InvalidArgument(name, "be finite numbers, one a step", values)
    if not holds(numbers):
        raise InvalidArgument(name, requirement, values)
