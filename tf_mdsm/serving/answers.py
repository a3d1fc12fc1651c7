"""Comparison of an export's answers with those of the model in memory."""

import numpy as np

from tf_mdsm.errors import RunError

__all__ = ["BFLOAT16_TOLERANCE", "TOLERANCE", "require_same_answer"]

# Largest allowed difference, relative to the output's largest absolute value. Compilers add in
# another order, and round bfloat16, to 8 bits, in other places.
TOLERANCE, BFLOAT16_TOLERANCE = 1e-5, 0.05


def require_same_answer(
    output: str, exported: np.ndarray, live: np.ndarray, *, tolerance: float = TOLERANCE
) -> None:
    """Requires that an exported model's answer is that of the model in memory, up to rounding.

    Args:
        output: what is compared, "sample: images".
        exported: the export's answer.
        live: the answer of the model in memory.
        tolerance: largest allowed difference, relative to the largest absolute value of `live`.

    Raises:
        RunError: if they differ by more, or are not finite.
    """
    if not (np.isfinite(live).all() and np.isfinite(exported).all()):
        raise RunError(f"not exported: {output} is not finite")
    difference = np.abs(exported - live).max() / max(np.abs(live).max(), 1e-30)
    if difference > tolerance:
        raise RunError(f"not exported: {output} of the written model differs by {difference:.1e}")
