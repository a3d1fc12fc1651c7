"""The recipes in `configs/`, loaded as the command line loads them."""

from ml_collections import ConfigDict

from tests.helpers.small_runs import ROOT
from tf_mdsm.config.file import load_recipe

RECIPES = sorted((ROOT / "configs").glob("*.py"))


def recipe(name: str) -> ConfigDict:
    """The configuration of a recipe by its name: "digits", "cifar", …"""
    return load_recipe(f"{ROOT}/configs/{name}.py")


# The text of a recipe that is trained and sampled within a second.
SHORT_RECIPE = """
from tests.helpers.small_runs import small_config

def get_config():
    config = small_config(training__num_steps=4, sampling__batch_size=64)
    config.sampling.update(hot_steps=1, cooling_steps=2)
    return config
"""


def recipe_flag(name: str) -> str:
    """The program's flag that names a recipe."""
    return f"--config={ROOT}/configs/{name}.py"
