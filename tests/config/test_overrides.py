"""Changes of settings by name, as on the command line."""

import numpy as np
import pytest

from tf_mdsm.config import default_config
from tf_mdsm.config.overrides import default_of, with_overrides
from tf_mdsm.errors import InvalidArgument


def test_settings_are_changed_in_a_copy():
    config = default_config()
    changed = with_overrides(
        config,
        {"sampling.num_samples": np.int64(3), "data.flip": True, "network.unet.num_blocks": 2},
    )
    assert (changed.sampling.num_samples, changed.data.flip) == (3, True)
    assert type(changed.sampling.num_samples) is int
    assert config.sampling.num_samples == 64
    assert changed.is_locked
    assert with_overrides(config, None).to_dict() == config.to_dict()


def test_a_whole_number_of_a_real_setting_is_stored_as_one():
    """As by the command line: results are named by a hash of the settings."""
    changed = with_overrides(default_config(), {"sampling.sigma_max": 1})
    assert type(changed.sampling.sigma_max) is float


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("sampling.num_sample", 3, r"known setting \(did you mean num_samples\?\)"),
        ("config.seed", 3, "`config.config.seed` must be a known setting"),
        ("sampling", {"seed": 3}, "set field by field"),
        ("sampling.num_samples", "3", "`config.sampling.num_samples` must be an integer"),
        ("sampling.num_samples", True, "must be an integer"),
        ("sampling.num_samples", 0, r"must lie in \[1"),
        ("noise.sigma_max", np.nan, "must be a finite number"),
        ("noise.sigma_max", 0.01, "must exceed config.noise.sigma_min"),
    ],
)
def test_wrong_overrides_are_refused(name, value, match):
    with pytest.raises(InvalidArgument, match=match):
        with_overrides(default_config(), {name: value})


def test_defaults_by_name():
    assert default_of("sampling.num_samples") == 64
    assert default_of("sampling").num_samples == 64
