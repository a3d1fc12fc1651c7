"""The command line of `tf_mdsm.main`: its flags and the overrides of settings.

Flags are parsed into values of their own. Neither `sys.argv` nor absl's global flags are used or
changed, so a process may parse any number of command lines.
"""

import dataclasses
import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from tf_mdsm.config.file import get_config, load_recipe
from tf_mdsm.config.overrides import default_of
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.local_paths import local_path

__all__ = ["CommandLine", "parse_command_line"]

# Modes that start from a recipe. All others read the configuration of the run's folder.
_MODES_WITH_RECIPE = ("train", "import")


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What a command line asks for.

    Attributes:
        mode: what to do, "train".
        config: all settings, validated.
        workdir: the run's folder.
        torch_checkpoint: the file of the authors' PyTorch weights, for mode "import" only.
        verbosity: from 1 on, tracebacks and the messages of TensorFlow are shown.
    """

    mode: str
    config: ConfigDict
    workdir: str
    torch_checkpoint: str | None
    verbosity: int


def parse_command_line(argv: Sequence[str], modes: Sequence[str]) -> CommandLine:
    """Parses a command line, and reads and validates the configuration that it names.

    Args:
        argv: the program's name and its arguments, as `sys.argv`.
        modes: what `--mode` may be.

    Raises:
        InvalidArgument: for anything wrong on the command line or in the recipe.
    """
    arguments, overrides, typed = _parse_own_flags(argv)
    mode, recipe = typed.mode, typed.config
    if mode not in modes:
        raise InvalidArgument("--mode", f"be one of {', '.join(modes)}", mode or "nothing")
    if recipe is None and (typed.workdir is None or mode == "import"):
        raise InvalidArgument("--config", "name a recipe, as configs/digits.py", "nothing")
    if recipe is not None and not os.path.isfile(recipe.split(":")[0]):
        raise InvalidArgument("--config", "name an existing recipe", recipe or "nothing")
    workdir = _workdir(typed.workdir, recipe)
    torch_checkpoint = _torch_checkpoint(mode, typed.torch_checkpoint)
    _check_overrides(arguments)
    if mode in _MODES_WITH_RECIPE and recipe is not None:
        config = load_recipe(recipe)
    else:
        config = get_config(workdir)
    _apply_overrides(config, overrides, argv)
    return CommandLine(mode, validate(config), workdir, torch_checkpoint, typed.verbosity)


def _declare_flags() -> flags.FlagValues:
    """The program's flags except --config."""
    values = flags.FlagValues()
    flags.DEFINE_string("mode", "train", "What to do.", values)
    flags.DEFINE_string("workdir", None, "The run's folder.", values)
    flags.DEFINE_string("torch_checkpoint", None, "PyTorch weights to import.", values)
    flags.DEFINE_integer("verbosity", 0, "1: show more.", flag_values=values, short_name="v")
    return values


def _parse_own_flags(argv: Sequence[str]) -> tuple[list[str], list[str], flags.FlagValues]:
    """Parses the program's flags, without the settings that are overridden.

    Returns:
        all arguments, with those of a --flagfile in its place; the arguments that are none of the
        program's flags, which should be overrides of settings; and the flags' values.
    """
    values = _declare_flags()
    flags.DEFINE_string("config", None, "The recipe.", values)
    # Flags may follow the value of an override, `--config.seed 1 --mode=sample`.
    values.set_gnu_getopt(True)
    try:
        arguments = values.read_flags_from_files(list(argv[1:]))
        _, *others = values([argv[0], *arguments], known_only=True)
    except (flags.Error, ValueError) as error:
        raise _invalid_command_line(error, argv) from error
    return arguments, others, values


def _invalid_command_line(error: Exception, argv: Sequence[str]) -> InvalidArgument:
    """The refusal of a whole command line, with the reason that the parser gave."""
    requirement = f"be valid ({one_line(error)})"
    return InvalidArgument("the command line", requirement, shlex.join(argv[1:]))


def _workdir(typed: str | None, recipe: str | None) -> str:
    """The run's folder: as typed, or by default `runs/<name of the recipe>`.

    By default that of `FILE.py:STRING` is `runs/FILE_STRING`, with _ for each character of STRING
    other than letters, digits and "._,=+-".
    """
    if typed == "":
        raise InvalidArgument("--workdir", "name a folder", "nothing")
    if typed is not None:
        return local_path("--workdir", typed)
    assert recipe is not None
    file, _, argument = recipe.partition(":")
    name = os.path.splitext(os.path.basename(file))[0]
    if argument:
        name += "_" + re.sub(r"[^\w.,=+-]", "_", argument)
    return os.path.join("runs", name)


def _torch_checkpoint(mode: str, typed: str | None) -> str | None:
    """The file of PyTorch weights, which mode "import" needs and no other mode allows."""
    if mode == "import" and not typed:
        requirement = "name the authors' PyTorch file for --mode=import"
        raise InvalidArgument("--torch_checkpoint", requirement, "nothing")
    if mode != "import" and typed is not None:
        raise InvalidArgument("--torch_checkpoint", "be left out unless --mode=import", typed)
    return typed and local_path("--torch_checkpoint", typed)


# What the text of an override must be, and the function that reads it, by the setting's type.
_READERS: dict[type, tuple[str, Callable[[str], Any]]] = {
    bool: ("true or false", lambda text: {"true": True, "false": False}[text.lower()]),
    int: ("an integer", int),
    float: ("a number", float),
    str: ("text", str),
}


def _check_overrides(arguments: Sequence[str]) -> None:
    """Refuses an override of an unknown setting or by a value of another type, and names it.

    The forms are `--config.GROUP.FIELD=VALUE`, `--config.GROUP.FIELD VALUE` and, for a setting that
    is true or false, `--config.GROUP.FIELD` and `--noconfig.GROUP.FIELD`.
    """
    for argument, next_argument in zip(arguments, [*arguments[1:], None], strict=True):
        if not argument.startswith("-"):
            continue
        name, has_value, value = argument.lstrip("-").partition("=")
        is_negated = name.startswith("noconfig.")
        name = name.removeprefix("no")
        if not name.startswith("config."):
            continue
        default = default_of(name.removeprefix("config."))
        if isinstance(default, ConfigDict):
            raise InvalidArgument(name, "be set field by field: it is a group", value or "nothing")
        if is_negated and (has_value or not isinstance(default, bool)):
            raise InvalidArgument(name, "be set by --config.GROUP.FIELD=VALUE", argument)
        if isinstance(default, bool) and not has_value:
            continue
        if not has_value:
            if next_argument is None or next_argument.startswith("--"):
                raise InvalidArgument(name, "be given a value", "nothing")
            value = next_argument
        type_name, read = _READERS[type(default)]
        try:
            read(value)
        except (ValueError, KeyError) as error:
            raise InvalidArgument(name, f"be {type_name}", value) from error


def _apply_overrides(config: ConfigDict, overrides: list[str], argv: Sequence[str]) -> None:
    """Sets what `--config.GROUP.FIELD` flags say, in place.

    Raises:
        InvalidArgument: for an argument that is no flag of the program.
    """
    values = _declare_flags()
    try:
        config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, sys_argv=[argv[0], *overrides]
        )
        _, *unused = values([argv[0], *overrides])
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _invalid_command_line(error, argv) from error
    if unused:
        raise InvalidArgument("the command line", "hold flags only", unused[0])
