"""Comparison of an export's answers with those of the model in memory."""

import numpy as np
import pytest

from tf_mdsm.errors import RunError
from tf_mdsm.serving.answers import require_same_answer


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_answers_may_differ_by_rounding_only(scale):
    """By 1e-5 of the largest answer."""
    live = scale * np.float32([-4.0, 0.0, 1.0])
    require_same_answer("sample: energy", live + np.float32(3e-5 * scale), live)
    with pytest.raises(
        RunError, match=r"sample: energy of the written model differs by 1\.[23]e-05"
    ):
        require_same_answer("sample: energy", live + np.float32(5e-5 * scale), live)
    require_same_answer("x", live + np.float32(5e-5 * scale), live, tolerance=2e-5)
    for wrong in (np.nan, np.inf):
        with pytest.raises(RunError, match="sample: energy is not finite"):
            require_same_answer("sample: energy", np.full(3, wrong), live)
