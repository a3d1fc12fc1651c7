"""Schedules: arrays that say what a sampler does at each step."""

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["annealing_temperatures"]


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
