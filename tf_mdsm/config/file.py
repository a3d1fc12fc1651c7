"""The configuration of a run, and the file that keeps it.

A recipe in `configs/` starts from `default_config()` (all settings with their meaning:
`settings`) and overrides; `validation` says what makes sense. Nothing here imports TensorFlow:
wrong settings are refused at once.
"""

import json
import os

from ml_collections import ConfigDict

from tf_mdsm.config.defaults import default_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import atomic_write

__all__ = ["default_config", "get_config", "load_config", "save_config"]


def get_config(workdir: str) -> ConfigDict:
    """The configuration that a run was made with: `--config=…/config.py:WORKDIR`."""
    return load_config(os.path.join(workdir, "config.json"))


def load_config(path: str) -> ConfigDict:
    """Reads a run's `config.json` back.

    Raises:
        InvalidArgument: if there is none, or it holds something else.
    """
    config = default_config()
    try:
        with open(path, encoding="utf-8") as file:
            config.update(json.load(file))
    except OSError as error:
        raise InvalidArgument("--workdir", "hold a run's config.json", path) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument(
            "--workdir", f"hold a valid config.json ({' '.join(str(error).split())})", path
        ) from error
    return config


def save_config(config: ConfigDict, path: str) -> None:
    """Writes the resolved configuration as JSON, whole or not at all."""
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(config.to_dict(), file, indent=2)
        file.write("\n")
