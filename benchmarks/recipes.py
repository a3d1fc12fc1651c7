"""Recipes for benchmarks: the configuration of a recipe's file, and copies with other settings."""

import hashlib
import os
from collections.abc import Mapping

from ml_collections import ConfigDict

from tf_mdsm.config import file
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument

__all__ = ["config_hash", "load_recipe", "with_sampling"]


def load_recipe(path: str) -> ConfigDict:
    """A recipe's configuration, without the preview samples during training.

    Raises:
        InvalidArgument: if the file is no recipe.
    """
    if not os.path.isfile(path):
        raise InvalidArgument("--config", "name an existing recipe", path)
    config = ConfigDict(file.load_recipe(path).to_dict())
    config.training.sample_every = 0
    return validate(config)


def with_sampling(config: ConfigDict, settings: Mapping[str, object]) -> ConfigDict:
    """A copy of a configuration with other values in its group `sampling`."""
    return with_overrides(config, {f"sampling.{name}": value for name, value in settings.items()})


def config_hash(config: ConfigDict) -> str:
    """A short hash of all settings: results of another configuration are other results."""
    return hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest()[:12]
