"""The command line: `main` any number of times in one process, and every way to write a flag."""

import json
import logging
import re
import sys
import types

import pytest
from absl import flags
from small_runs import ROOT

from tf_mdsm import main as program
from tf_mdsm.config import default_config
from tf_mdsm.config.file import save_config
from tf_mdsm.config.flags import parse_command_line
from tf_mdsm.errors import InvalidArgument, RunError

DIGITS = f"--config={ROOT / 'configs' / 'digits.py'}"
MODES = ("train", "sample", "import")


def parse(*arguments: str):
    return parse_command_line(["main.py", *map(str, arguments)], MODES)


@pytest.fixture
def calls(monkeypatch):
    """Replaces the function of mode "train" by one that only records its calls."""
    recorded = []

    def run(config, workdir):
        recorded.append((config, workdir))
        if config.seed == 13:
            raise RunError("unlucky")
        logging.getLogger("tf_mdsm.runs").info("a message")
        return [f"{workdir}/first", f"{workdir}/second"]

    module = types.ModuleType("recording_run")
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(program._MODES, "train", (module.__name__, "run"))
    return recorded


def process_state() -> tuple:
    """What a call of `main` must leave as it was."""
    logger = logging.getLogger("tf_mdsm")
    logging_state = (list(logger.handlers), logger.level, logger.propagate)
    absl_flags = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    return list(sys.argv), absl_flags, flags.FLAGS.is_parsed(), logging_state


def test_main_can_be_called_again(calls, capsys, tmp_path):
    """A call does not depend on earlier ones and leaves the process as it was."""
    before = process_state()
    digits = ["main.py", DIGITS, f"--workdir={tmp_path}/digits", "--config.seed=7"]
    mixture = ["main.py", f"--config={ROOT}/configs/mixture.py", "--config.data.flip"]
    assert program.main(digits) == 0
    assert program.main([*digits, "--config.noise.sigma_mn=1"]) == 2
    assert program.main(["main.py"]) == 2
    assert program.main(mixture) == 0
    assert program.main([*digits, "--config.seed=13"]) == 1

    (first, first_workdir), (second, second_workdir), (third, _) = calls
    assert (first.seed, first.data.source, first.data.flip) == (7, "digits", False)
    assert first_workdir == f"{tmp_path}/digits"
    assert (second.seed, second.data.source, second.data.flip) == (0, "synthetic", True)
    assert second_workdir == "runs/mixture"
    assert third.seed == 13
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        *(f"{tmp_path}/digits/first", f"{tmp_path}/digits/second"),
        *("runs/mixture/first", "runs/mixture/second"),
    ]
    _, refused, without_recipe, _, failed = output.err.splitlines()
    assert "`config.noise.sigma_mn` must be a known setting" in refused
    assert "`--config` must name a recipe" in without_recipe
    assert failed == "tf_mdsm: unlucky"

    assert process_state() == before


def test_messages_are_shown_once_in_each_call(calls, capsys):
    for _ in range(3):
        assert program.main(["main.py", DIGITS]) == 0
        assert re.fullmatch(r"\d\d:\d\d:\d\d a message\n", capsys.readouterr().err)


def test_a_traceback_is_shown_when_asked_for(calls, capsys):
    for verbosity in (1, 0, 1):
        call = ["main.py", DIGITS, "--config.seed=13", f"--verbosity={verbosity}"]
        assert program.main(call) == 1
        assert ("Traceback" in capsys.readouterr().err) == bool(verbosity)


def test_a_second_recipe_is_not_mixed_with_the_first(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("from tf_mdsm.config import default_config as get_config\n")
    bad.write_text("x = 1\n")
    parse(f"--config={good}")
    with pytest.raises(InvalidArgument, match="`--config` must be a recipe"):
        parse(f"--config={bad}")


def test_recipes_take_a_text(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from tf_mdsm.config import default_config\n"
        "def get_config(name='cifar10'):\n"
        "    config = default_config()\n"
        "    config.data.name = name\n"
        "    return config\n"
    )
    assert parse(f"--config={recipe}").config.data.name == "cifar10"
    assert parse(f"--config={recipe}:a:b").config.data.name == "a:b"
    assert parse("--config", f"{recipe}:mnist").config.data.name == "mnist"


def test_recipes_may_define_dataclasses(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
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
    assert parse(f"--config={recipe}").config.seed == 3


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
    command = parse(f"--config={ROOT}/configs/mixture.py", f"--workdir={tmp_path}", "--mode=sample")
    assert (command.config.seed, command.config.data.source) == (5, "digits")
    assert command.config.is_locked
    saved = json.loads((tmp_path / "config.json").read_text())
    parse(f"--workdir={tmp_path}", "--mode=sample", "--config.seed=6")
    assert json.loads((tmp_path / "config.json").read_text()) == saved


def test_the_folder_is_named_after_the_recipe():
    assert parse(DIGITS).workdir == "runs/digits"
    assert not parse(DIGITS, "--workdir=~/x").workdir.startswith("~")


def test_weights_to_import():
    command = parse(DIGITS, "--mode=import", "--torch_checkpoint=weights.pt")
    assert (command.mode, command.torch_checkpoint) == ("import", "weights.pt")
    assert parse(DIGITS).torch_checkpoint is None


def test_a_flag_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "flags.bin"
    file.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(InvalidArgument, match="`the command line` must be valid"):
        parse(DIGITS, f"--flagfile={file}")
