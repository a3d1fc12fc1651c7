"""Runs of an earlier version are opened and sampled; continued and exported in `tests/slow`."""

import numpy as np
import pytest

from tests.helpers import old_runs
from tests.helpers.eager import uncompiled
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.build_model import build_model, build_optimizer
from tf_mdsm.training.checkpoints import TrainingCheckpoints


@pytest.fixture(params=old_runs.NAMES)
def old_run(request, tmp_path):
    """A copy of an old run's folder."""
    return old_runs.copy_of(request.param, tmp_path)


def test_samples_are_the_same(old_run):
    with uncompiled():
        old_runs.assert_same_samples(old_run, old_runs.HEUN)


def test_the_state_of_training_is_restored(old_run):
    """Step, averaged weights and both moments of the optimizer; 20 steps were made."""
    model = build_model(get_config(str(old_run)))
    model.compile(build_optimizer(get_config(str(old_run))))
    checkpoints = TrainingCheckpoints(str(old_run / "checkpoints"), model, keep=1)
    checkpoints.restore_latest()
    assert checkpoints.step == 20
    averages = {variable.path: variable for variable in model.ema_network.variables}
    for weight in model.network.trainable_variables:
        average = averages[weight.path].numpy()
        assert not np.array_equal(weight, average), weight.path
        # Twenty steps of Adam at 1e-3 move a weight by up to 2e-2.
        np.testing.assert_allclose(weight, average, atol=2e-2, err_msg=weight.path)
    first_moments, second_moments = (
        [v.numpy() for v in model.optimizer.variables if v.path.endswith(name)]
        for name in ("momentum", "velocity")
    )
    assert len(first_moments) == len(second_moments) == len(model.network.trainable_variables)
    assert all(np.any(moment != 0) for moment in first_moments)
    assert all(np.all(moment >= 0) and np.any(moment > 0) for moment in second_moments)
