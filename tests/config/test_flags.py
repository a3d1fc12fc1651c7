"""The command line's flags: every way to write one, and what they mean."""

import json

import pytest

from tests.helpers.recipes import recipe_flag
from tests.helpers.wrong_calls import DEFAULTS, DIGITS, OTHER_TEXTS
from tf_mdsm.config import default_config
from tf_mdsm.config.file import save_config
from tf_mdsm.config.flags import CommandLine, parse_command_line
from tf_mdsm.errors import InvalidArgument

MODES = ("train", "sample", "import")


def parse(*arguments: object) -> CommandLine:
    return parse_command_line(["main.py", *map(str, arguments)], MODES)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--config.seed=3"], "seed", 3),
        (["--config.seed", "3"], "seed", 3),
        (["-config.seed=3"], "seed", 3),
        (["--config.seed=1", "--config.seed=3"], "seed", 3),
        (["--config.noise.sigma_max", "2"], "noise.sigma_max", 2.0),
        (["--config.noise.sigma_max=1.5e0"], "noise.sigma_max", 1.5),
        (["--config.data.flip"], "data.flip", True),
        (["--config.data.flip=true"], "data.flip", True),
        (["--config.data.flip=False"], "data.flip", False),
        (["--config.data.flip", "--noconfig.data.flip"], "data.flip", False),
        (["--config.data.path="], "data.path", ""),
        (["--config.data.path=a=b, c"], "data.path", "a=b, c"),
        (["--config.evaluation.foreign.image_size=8"], "evaluation.foreign.image_size", 8),
    ],
)
def test_forms_of_an_override(arguments, field, value):
    config = parse(DIGITS, *arguments).config
    for name in field.split("."):
        config = config[name]
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize("field", [f for f, value in DEFAULTS.items() if type(value) is not str])
def test_texts_of_another_type_are_refused_by_name(field):
    requirement, texts = OTHER_TEXTS[type(DEFAULTS[field])]
    for text in texts:
        with pytest.raises(InvalidArgument) as caught:
            parse(DIGITS, f"--config.{field}={text}")
        assert str(caught.value) == f"`config.{field}` must be {requirement}. Received: {text}"


def test_flags_in_any_order_and_form(tmp_path):
    save_config(default_config(), str(tmp_path / "config.json"))
    file = tmp_path / "flags.txt"
    file.write_text(f"# a comment\n--mode=sample\n--workdir={tmp_path}\n--config.seed=5\n")
    for arguments in (
        ["--mode=sample", f"--workdir={tmp_path}", "--config.seed=5", "--verbosity=1"],
        ["--config.seed", "5", "-mode", "sample", "-v", "1", "--workdir", tmp_path],
        ["-v=1", f"--flagfile={file}"],
        ["--config.seed", "4", "--verbosity", "1", "--flagfile", file],
    ):
        command = parse(*arguments)
        assert (command.mode, command.workdir, command.verbosity) == ("sample", str(tmp_path), 1)
        assert command.config.seed == 5


def test_other_modes_than_training_read_the_runs_own_configuration(tmp_path):
    config = default_config()
    config.seed, config.data.source = 5, "digits"
    save_config(config, str(tmp_path / "config.json"))
    command = parse(recipe_flag("mixture"), f"--workdir={tmp_path}", "--mode=sample")
    assert (command.config.seed, command.config.data.source) == (5, "digits")
    assert command.config.is_locked
    saved = json.loads((tmp_path / "config.json").read_text())
    parse(f"--workdir={tmp_path}", "--mode=sample", "--config.seed=6")
    assert json.loads((tmp_path / "config.json").read_text()) == saved


def test_the_folder_is_named_after_the_recipe():
    assert parse(DIGITS).workdir == "runs/digits"
    assert not parse(DIGITS, "--workdir=~/x").workdir.startswith("~")


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("text", "recipe_text"),
        ("lr=0.1", "recipe_lr=0.1"),
        ("a/b:../c", "recipe_a_b_.._c"),
        ("~ü 1*,+-", "recipe__ü_1_,+-"),
        ("", "recipe"),
    ],
)
def test_the_text_after_a_recipes_name_is_part_of_the_folders_name(tmp_path, text, folder):
    """Of runs with different texts none takes the other's folder."""
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from tf_mdsm.config import default_config\n"
        "def get_config(_):\n"
        "    return default_config()\n"
    )
    assert parse("--config", f"{recipe}:{text}").workdir == f"runs/{folder}"


def test_weights_to_import():
    command = parse(DIGITS, "--mode=import", "--torch_checkpoint=weights.pt")
    assert (command.mode, command.torch_checkpoint) == ("import", "weights.pt")
    assert parse(DIGITS).torch_checkpoint is None


def test_a_flag_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "flags.bin"
    file.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(InvalidArgument, match="`the command line` must be valid"):
        parse(DIGITS, f"--flagfile={file}")
