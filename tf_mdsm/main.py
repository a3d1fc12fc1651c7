"""Energy-based models of images by multi-scale denoising score matching.

    python -m tf_mdsm.main --config=configs/digits.py [--workdir=runs/digits] [--mode=MODE]
                           [--config.GROUP.FIELD=VALUE ...] [--verbosity=1]

MODE is `train` (default; goes on where the workdir's last checkpoint stands) or `sample`,
which needs only the workdir: it reads the configuration saved there. The fields, their
meaning and their defaults stand in tf_mdsm/config.py; every one can be set as shown.

Exit status: 0 done; 1 the run failed on its way; 2 it was called wrongly, nothing was done.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator

from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from tf_mdsm import config as configuration
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.validation import validate

_MODES = ("train", "sample")

_CONFIG = config_flags.DEFINE_config_file("config", None, "Recipe: a file with get_config().")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder; default runs/<recipe>.")
_MODE = flags.DEFINE_string("mode", "train", f"One of {', '.join(_MODES)}.")


def main(argv: list[str]) -> int:
    """Parses the command line, runs the mode, and returns the exit status."""
    if {"--help", "-h", "-help", "--helpfull"} & set(argv):
        print(__doc__)
        return 0
    try:
        config, workdir = _parse(argv)
        _run(config, workdir)
    except InvalidArgument as error:
        return _fail(error, status=2)
    except Exception as error:
        return _fail(error, status=1)
    return 0


def _run(config, workdir: str) -> None:
    _set_up_logging()
    with _quiet_stderr():
        import tensorflow as tf

        tf.config.list_logical_devices()
    if _MODE.value == "train":
        from tf_mdsm.train import train

        train(config, workdir)
    else:
        from tf_mdsm.sample import sample

        print(*sample(config, workdir), sep="\n")


def _set_up_logging() -> None:
    """Our own messages always; TensorFlow's from --verbosity=1 on."""
    logger = logging.getLogger("tf_mdsm")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not _is_verbose():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        absl_logging.set_verbosity(absl_logging.ERROR)


def _is_verbose() -> bool:
    return flags.FLAGS.is_parsed() and flags.FLAGS.verbosity >= 1


def _parse(argv: list[str]):
    """The validated configuration and the run's folder.

    Raises:
        InvalidArgument: for anything wrong on the command line or in the recipe.
    """
    mode, recipe, workdir = _look_ahead(argv)
    if mode not in _MODES:
        raise InvalidArgument("--mode", f"be one of {', '.join(_MODES)}", mode)
    if not workdir:
        if not recipe:
            raise InvalidArgument("--config", "name a recipe, as configs/digits.py", "nothing")
        workdir = os.path.join("runs", os.path.splitext(os.path.basename(recipe))[0])
    if mode != "train" or not recipe:
        configuration.get_config(workdir)
        recipe = f"{configuration.__file__}:{workdir}"
    elif not os.path.isfile(recipe.split(":")[0]):
        raise InvalidArgument("--config", "name an existing recipe", recipe)
    # The config flag reads overrides from sys.argv.
    sys.argv = [argv[0], f"--config={recipe}", *_without_flag(argv[1:], "config")]
    try:
        unused = flags.FLAGS(sys.argv)[1:]
        config = validate(_CONFIG.value)
    except InvalidArgument:
        raise
    except Exception as error:
        raise _explained(error, sys.argv) from error
    if unused:
        raise InvalidArgument("the command line", "hold flags only", unused[0])
    return config, workdir


def _look_ahead(argv: list[str]) -> tuple[str, str, str]:
    """Mode, recipe and folder as typed, before the recipe is read."""
    known = flags.FlagValues()
    for name in ("mode", "config", "workdir"):
        flags.DEFINE_string(name, "", "", flag_values=known)
    try:
        known(argv, known_only=True)
    except flags.Error as error:
        raise InvalidArgument("the command line", "be complete", one_line(error)) from error
    return known.mode or "train", known.config, known.workdir


def _without_flag(arguments: list[str], name: str) -> list[str]:
    """The arguments less every `--name=value` and `--name value`."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument in (f"--{name}", f"-{name}"):
            next(rest, None)
        elif not argument.startswith((f"--{name}=", f"-{name}=")):
            kept.append(argument)
    return kept


def _explained(error: Exception, argv: list[str]) -> InvalidArgument:
    """What a failure to parse means, in terms of what was typed."""
    message = one_line(error)
    typed = [a.lstrip("-") for a in argv if a.lstrip("-").startswith("config.")]
    for argument in typed:
        field, _, value = argument.partition("=")
        if f"--{field}={value}" in message:
            kind = _kind_of(field)
            return InvalidArgument(field, f"be {kind}" if kind else "be valid", value)
    for argument in typed:
        field, _, value = argument.partition("=")
        if field.rsplit(".", 1)[-1] in message:
            meant = re.search('Did you mean "(.+?)"', message)
            hint = f" (did you mean {meant[1]}?)" if meant else ""
            return InvalidArgument(field, f"be a known setting{hint}", value or "nothing")
    return InvalidArgument("the command line", "be valid", message)


def _kind_of(field: str) -> str | None:
    value = configuration.default_config()
    for name in field.split(".")[1:]:
        value = value.get(name) if hasattr(value, "get") else None
    names = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
    return names.get(type(value))


def _fail(error: Exception, status: int) -> int:
    print(f"tf_mdsm: {one_line(error)}", file=sys.stderr)
    if _is_verbose():
        traceback.print_exception(error)
    return status


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Holds back what native code prints to standard error; lets it out if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(kept, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
