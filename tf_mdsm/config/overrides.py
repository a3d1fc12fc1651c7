"""Changes of settings by name: `{"sampling.num_samples": 16}`."""

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.config.defaults import default_config
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument

__all__ = ["default_of", "with_overrides"]


def with_overrides(config: ConfigDict, overrides: Mapping[str, object] | None) -> ConfigDict:
    """A copy of a configuration with some settings changed, validated.

    Args:
        config: the configuration.
        overrides: values by "group.field", as `--config.group.field=value` on the command line.

    Raises:
        InvalidArgument: for an unknown setting, a wrong value, or settings that do not fit.
    """
    values = config.to_dict()
    for name, value in (overrides or {}).items():
        default = default_of(name)
        if isinstance(default, ConfigDict):
            raise InvalidArgument(f"config.{name}", "be set field by field: it is a group", value)
        *groups, field = name.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[field] = _as_stored(value, default)
    return validate(ConfigDict(values)).lock()


def _as_stored(value: Any, default: object) -> object:
    """A value as the command line would store it: a number of NumPy as Python's, 3 as 3.0."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if isinstance(default, float) and type(value) is int else value


def default_of(name: str) -> object:
    """The default of a setting or group, "noise.sigma_min".

    Raises:
        InvalidArgument: if there is none of that name.
    """
    value = default_config()
    for part in name.split("."):
        known = list(value.keys()) if isinstance(value, ConfigDict) else []
        if part not in known:
            close = difflib.get_close_matches(part, known, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise InvalidArgument(f"config.{name}", f"be a known setting{hint}", part)
        value = value[part]
    return value
