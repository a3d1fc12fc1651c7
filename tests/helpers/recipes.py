"""The recipes in `configs/`, loaded as the command line loads them."""

import importlib.util
import pathlib

from ml_collections import ConfigDict

from tests.helpers.small_runs import ROOT

RECIPES = sorted((ROOT / "configs").glob("*.py"))


def load_recipe(path: pathlib.Path) -> ConfigDict:
    """The configuration of a recipe's file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def recipe(name: str) -> ConfigDict:
    """The configuration of a recipe by its name: "digits", "cifar", …"""
    return load_recipe(ROOT / "configs" / f"{name}.py")


def recipe_flag(name: str) -> str:
    """The program's flag that names a recipe."""
    return f"--config={ROOT}/configs/{name}.py"
