"""Recipes as benchmarks take them: a file's configuration, changed where they compare."""

import os
import runpy

from ml_collections import ConfigDict

from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument, one_line

__all__ = ["load_recipe", "with_fields"]


def load_recipe(path: str) -> ConfigDict:
    """A recipe's configuration, without the previews that its training would draw.

    Raises:
        InvalidArgument: if the file is no recipe.
    """
    if not os.path.isfile(path):
        raise InvalidArgument("--config", "name an existing recipe", path)
    try:
        config = ConfigDict(runpy.run_path(path)["get_config"]().to_dict())
    except Exception as error:  # A recipe is a program: it may raise anything.
        raise InvalidArgument("--config", f"be a recipe ({one_line(error)})", path) from error
    config.training.sample_every = 0
    return validate(config)


def with_fields(config: ConfigDict, fields: dict[str, object]) -> ConfigDict:
    """A copy with other values: {"network.name": "unet"}."""
    copy = ConfigDict(config.to_dict())
    copy.update_from_flattened_dict(fields)
    return validate(copy)
