"""Files that hold a configuration: recipes (`configs/*.py`) and a run's `config.json`."""

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Iterator

from ml_collections import ConfigDict

from tf_mdsm.config.defaults import default_config
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.atomic import write_json

__all__ = ["config_path", "get_config", "load_config", "load_recipe", "save_config"]

_RECIPE_MODULE = "tf_mdsm_recipe"


def load_recipe(path: str) -> ConfigDict:
    """Runs a recipe and returns its configuration, locked.

    A recipe is a Python file with a function `get_config`.

    Args:
        path: the file. `FILE.py:STRING` calls `get_config(STRING)`.

    Raises:
        InvalidArgument: if the file fails, or its result is no ConfigDict.
    """
    file, *arguments = path.split(":", 1)
    loader = importlib.machinery.SourceFileLoader(_RECIPE_MODULE, file)
    spec = importlib.util.spec_from_file_location(_RECIPE_MODULE, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Under a name in sys.modules as an imported module is: dataclasses in a recipe look there.
    sys.modules[_RECIPE_MODULE] = module
    try:
        with _imports_from(os.path.dirname(os.path.abspath(file))):
            loader.exec_module(module)
            config = module.get_config(*arguments)
    except Exception as error:  # A recipe is a program: it may raise anything.
        raise InvalidArgument("--config", f"be a recipe ({one_line(error)})", path) from error
    if not isinstance(config, ConfigDict):
        raise InvalidArgument("--config", "be a recipe: get_config() gives a ConfigDict", path)
    return config.lock()


@contextlib.contextmanager
def _imports_from(folder: str) -> Iterator[None]:
    """Lets a recipe import the recipes beside it, where nothing else has their name.

    They are forgotten afterwards, so that a recipe of another folder finds its own.
    """
    known = set(sys.modules)
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - known:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if os.path.dirname(path) == folder:
                del sys.modules[name]


def config_path(workdir: str) -> str:
    """The path of the configuration in a run's folder."""
    return os.path.join(workdir, "config.json")


def get_config(workdir: str) -> ConfigDict:
    """Reads the configuration that a run was made with from its folder's `config.json`.

    Raises:
        InvalidArgument: if there is no such file, or it holds something else.
    """
    return load_config(config_path(workdir))


def load_config(path: str) -> ConfigDict:
    """Reads a `config.json` that `save_config` wrote.

    Settings that the file does not have, because an earlier version wrote it, get their defaults.

    Raises:
        InvalidArgument: if there is no such file, or it holds something else.
    """
    config = default_config()
    try:
        with open(path, encoding="utf-8") as file:
            config.update(json.load(file))
    except OSError as error:
        raise InvalidArgument("--workdir", "hold a run's config.json", path) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument(
            "--workdir", f"hold a valid config.json ({one_line(error)})", path
        ) from error
    return config


def save_config(config: ConfigDict, path: str) -> None:
    """Writes all settings as JSON; the file appears complete, or not at all.

    Other images than those of the run are allowed for one call only:
    `data.allow_other_images` is written as false.
    """
    settings = config.to_dict()
    settings["data"]["allow_other_images"] = False
    write_json(settings, path)
