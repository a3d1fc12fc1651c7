"""Adam and its learning rates: schedules, warm-up, saved configurations."""

import keras
import numpy as np
import pytest
from small_runs import small_config

from tf_mdsm.runs.build_model import build_optimizer
from tf_mdsm.training.optimizers import Adam, WarmUp


def rates(optimizer, steps) -> np.ndarray:
    """The optimizer's learning rate at each of some steps."""
    values = []
    for step in steps:
        optimizer.iterations.assign(step)
        values.append(float(optimizer.learning_rate))
    return np.array(values)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_warm_up_rises_to_the_schedule(schedule):
    fields = {
        "optimizer__schedule": schedule,
        "optimizer__learning_rate": 1e-2,
        "optimizer__final_learning_rate": 1e-4,
        "training__num_steps": 100,
    }
    steps = np.array([0, 3, 9, 10, 50, 99])
    without_warm_up = rates(build_optimizer(small_config(**fields)), steps)
    expected = np.full(6, 1e-2)
    if schedule == "cosine":
        expected = 1e-4 + (1e-2 - 1e-4) * (1 + np.cos(np.pi * steps / 100)) / 2
    np.testing.assert_allclose(without_warm_up, expected, rtol=1e-5)
    with_warm_up = rates(build_optimizer(small_config(**fields, optimizer__warmup_steps=10)), steps)
    expected = without_warm_up * np.minimum(1, (steps + 1) / 10)
    np.testing.assert_allclose(with_warm_up, expected, rtol=1e-6)


def test_warm_up_can_be_saved_with_its_optimizer():
    decay = keras.optimizers.schedules.CosineDecay(1e-3, 50)
    for schedule in (decay, 2e-3):
        optimizer = Adam(WarmUp(schedule, 7), beta_2=0.95)
        restored = Adam.from_config(optimizer.get_config())
        np.testing.assert_array_equal(rates(restored, range(12)), rates(optimizer, range(12)))


def test_adam_can_be_saved():
    settings = Adam(1e-4, 0.8, 0.9, 1e-6).get_config()
    assert Adam.from_config(settings).get_config() == settings
