"""Schedules of samplers: arrays with a temperature, noise level or step size for each step."""

from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.values import float_array, number, whole_number

__all__ = [
    "annealing_temperatures",
    "checked_schedule",
    "falling_sigmas",
    "growing_step_sizes",
    "temperatures_of",
]


def annealing_temperatures(
    initial: float = 100.0,
    hot_steps: int = 500,
    cooling_steps: int = 2_000,
    final_steps: int = 200,
    cooling: str = "exponential",
) -> np.ndarray:
    """Temperature of each step of annealed Langevin dynamics (MDSM, section 4).

    The schedule has three parts: `hot_steps` at the initial temperature; `cooling_steps` from the
    initial temperature to 1, as T_i = initial^(1 - i / cooling_steps) or linearly; `final_steps`
    from 1 to 0, linearly. The defaults are the paper's 2,700 steps.

    Args:
        initial: temperature of the first steps, at least 1.
        hot_steps: number of steps at the initial temperature.
        cooling_steps: number of steps from the initial temperature to 1.
        final_steps: number of steps from 1 to 0.
        cooling: "exponential" or "linear".

    Returns:
        float32 [hot_steps + cooling_steps + final_steps], never rising.

    Raises:
        InvalidArgument: for an unknown cooling, a number outside its range, or a schedule without
            steps.
    """
    number("initial", initial, "be at least 1", lambda value: value >= 1)
    hot_steps = whole_number("hot_steps", hot_steps, least=0)
    cooling_steps = whole_number("cooling_steps", cooling_steps, least=0)
    final_steps = whole_number("final_steps", final_steps, least=0)
    progress = np.arange(cooling_steps) / max(cooling_steps, 1)
    cooling_fns = {
        "exponential": lambda: initial ** (1.0 - progress),
        "linear": lambda: initial + (1.0 - initial) * progress,
    }
    if cooling not in cooling_fns:
        raise InvalidArgument("cooling", f"be one of {', '.join(cooling_fns)}", cooling)
    if hot_steps + cooling_steps + final_steps < 1:
        raise InvalidArgument("hot_steps", "leave the schedule at least one step", hot_steps)
    hot, final = np.full(hot_steps, initial), np.linspace(1.0, 0.0, final_steps)
    parts = [hot, cooling_fns[cooling](), final]
    return np.concatenate(parts).astype(np.float32)


def falling_sigmas(
    sigma_max: float, sigma_min: float, num_levels: int = 18, rho: float = 7.0
) -> np.ndarray:
    """Noise levels from sigma_max down to sigma_min (EDM, equation 5, without the last 0).

    sigma_i = (sigma_max^(1/rho) + i / (N - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho.
    The larger rho is, the more levels are near sigma_min.

    Args:
        sigma_max: the first level.
        sigma_min: the last level, positive.
        num_levels: N, at least 2.
        rho: at least 1; with 1 the levels are equidistant.

    Returns:
        float32 [num_levels], falling.

    Raises:
        InvalidArgument: for levels that do not fall, for fewer than two levels, or for a rho below
            1.
    """
    number("sigma_max", sigma_max, "be positive and finite", lambda sigma: sigma > 0)
    below = f"lie in (0, sigma_max = {sigma_max})"
    number("sigma_min", sigma_min, below, lambda sigma: 0 < sigma < sigma_max)
    num_levels = whole_number("num_levels", num_levels, least=2)
    number("rho", rho, "be at least 1", lambda value: value >= 1)
    first_root, last_root = np.array([sigma_max, sigma_min], float) ** (1 / rho)
    sigmas = np.linspace(first_root, last_root, num_levels) ** rho
    sigmas[[0, -1]] = sigma_max, sigma_min
    return sigmas.astype(np.float32)


def growing_step_sizes(h0: float = 0.01, max_steps: int = 1_000) -> np.ndarray:
    """Step sizes of coarse-to-fine ascent (Kadkhodaie and Simoncelli, algorithm 1).

    h_t = h0 t / (1 + h0 (t - 1)) for t = 1 … max_steps. They grow from h0 towards 1.

    Args:
        h0: the first step size, in (0, 1].
        max_steps: number of step sizes.

    Returns:
        float32 [max_steps], never falling.

    Raises:
        InvalidArgument: for a number outside its range.
    """
    number("h0", h0, "lie in (0, 1]", lambda h: 0 < h <= 1)
    max_steps = whole_number("max_steps", max_steps)
    t = np.arange(1, max_steps + 1)
    return (h0 * t / (1 + h0 * (t - 1))).astype(np.float32)


def temperatures_of(sigmas: np.ndarray, sigma0: float) -> np.ndarray:
    """Temperatures T = (sigma / sigma0)^2 at which images look like clean ones under noise sigma.

    Args:
        sigmas: noise levels, in pixel units, [N].
        sigma0: fixed kernel width of the training loss, in pixel units.

    Returns:
        float32 [N].

    Raises:
        InvalidArgument: for noise levels that are not finite, or a sigma0 that is not positive.
    """
    number("sigma0", sigma0, "be positive and finite", lambda sigma: sigma > 0)
    return (float_array("sigmas", sigmas, "be finite numbers, [N]") / sigma0) ** 2


def checked_schedule(
    name: str,
    values: object,
    requirement: str,
    is_valid: Callable[[np.ndarray], bool | np.bool_],
) -> np.ndarray:
    """A schedule as a read-only array, float32 [steps].

    Args:
        name: name of the argument, for the message.
        values: one number for each step: an array, a list or a tensor.
        requirement: what the values must satisfy, for the message, for example "never rise".
        is_valid: the same requirement as a function of the values, float64 [steps].

    Raises:
        InvalidArgument: if the values are not finite numbers, [steps], at least one, or do not
            satisfy the requirement.
    """
    one_each = "be finite numbers, one for each step"
    array = float_array(name, values, one_each)
    if array.ndim != 1 or not array.size:
        raise InvalidArgument(name, one_each, values)
    if not is_valid(np.asarray(values, float)):
        raise InvalidArgument(name, requirement, values)
    return array
