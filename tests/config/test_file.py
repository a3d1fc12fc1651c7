"""Files that hold a configuration: recipes, and a run's config.json."""

import json
import sys

import pytest

from tests.helpers.recipes import recipe
from tf_mdsm.config import default_config
from tf_mdsm.config.file import config_path, get_config, load_config, load_recipe, save_config
from tf_mdsm.errors import InvalidArgument


def test_saved_configurations_are_read_back(tmp_path):
    config = recipe("digits")
    save_config(config, str(tmp_path / "config.json"))
    assert config_path(str(tmp_path)) == str(tmp_path / "config.json")
    assert load_config(str(tmp_path / "config.json")) == config == get_config(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_other_images_are_allowed_for_one_call(tmp_path):
    """The file says that none are; the configuration itself stays."""
    config = default_config()
    config.data.allow_other_images = True
    save_config(config, str(tmp_path / "config.json"))
    assert load_config(str(tmp_path / "config.json")) == default_config()
    assert config.data.allow_other_images is True


def test_settings_of_later_versions_get_their_defaults(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"seed": 3, "noise": {"sigma_min": 0.5}}))
    expected = default_config()
    expected.seed, expected.noise.sigma_min = 3, 0.5
    assert get_config(str(tmp_path)) == expected


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"noise": 3}', '{"nose": {}}', "{", "null"])
def test_other_files_are_refused_as_config_json(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidArgument, match=r"`--workdir` must hold a valid config.json"):
        load_config(str(tmp_path / "config.json"))


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match=r"`--workdir` must hold a run's config.json"):
        get_config(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def get_config(:", "invalid syntax"),
        ("def get_config():\n  raise RuntimeError('no')\n", "(no)"),
        ("x = 1\n", "get_config"),
        ("def get_config():\n  return {}\n", "get_config() gives a ConfigDict"),
    ],
    ids=["syntax", "raises", "no function", "no configuration"],
)
def test_a_broken_recipe_is_refused_with_the_reason(tmp_path, text, reason):
    (tmp_path / "recipe.py").write_text(text)
    with pytest.raises(InvalidArgument, match="`--config` must be a recipe") as caught:
        load_recipe(str(tmp_path / "recipe.py"))
    assert reason in str(caught.value)


def test_a_second_recipe_is_not_mixed_with_the_first(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("from tf_mdsm.config import default_config as get_config\n")
    bad.write_text("x = 1\n")
    load_recipe(str(good))
    with pytest.raises(InvalidArgument, match="`--config` must be a recipe"):
        load_recipe(str(bad))


def test_recipes_take_a_text(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(
        "from tf_mdsm.config import default_config\n"
        "def get_config(name='cifar10'):\n"
        "    config = default_config()\n"
        "    config.data.name = name\n"
        "    return config\n"
    )
    assert load_recipe(str(path)).data.name == "cifar10"
    assert load_recipe(f"{path}:a:b").data.name == "a:b"


def test_recipes_may_define_dataclasses(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(
        "from __future__ import annotations\n"
        "import dataclasses\n"
        "from tf_mdsm.config import default_config\n"
        "@dataclasses.dataclass\n"
        "class Settings:\n"
        "    seed: int = 3\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.seed = Settings().seed\n"
        "    return config\n"
    )
    assert load_recipe(str(path)).seed == 3


def test_a_recipe_imports_the_recipe_beside_it(tmp_path):
    """Each its own, also if another folder has one of the same name."""
    for seed in (3, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        base = "from tf_mdsm.config import default_config\nget_config = default_config\n"
        (folder / "beside.py").write_text(f"{base}SEED = {seed}\n")
        (folder / "recipe.py").write_text(
            "import beside\n\ndef get_config():\n"
            "    config = beside.get_config()\n    config.seed = beside.SEED\n    return config\n"
        )
        before = list(sys.path)
        assert load_recipe(str(folder / "recipe.py")).seed == seed
        assert sys.path == before


def test_no_file_beside_a_recipe_hides_a_library(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('the wrong file')\n")
    (tmp_path / "recipe.py").write_text(
        "import colorsys\nfrom tf_mdsm.config import default_config as get_config\n"
    )
    assert load_recipe(str(tmp_path / "recipe.py")).seed == 0
