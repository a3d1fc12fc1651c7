"""Energy-based models of images by multi-scale denoising score matching.

    python -m tf_mdsm.main --config=configs/digits.py [--workdir=runs/digits] [--mode=MODE]
                           [--config.GROUP.FIELD=VALUE ...] [--verbosity=1]

MODE is `train` (default; goes on where the workdir's last checkpoint stands), `sample` (draws
images), `restore` (fills in what is missing of images), `evaluate` (writes evaluation/metrics.json
and report.html), `likelihood` (log Z between bounds, and bits/dim), `export` (writes
export/<version> for a server) or `import` (makes the workdir of a recipe and the authors' PyTorch
weights, --torch_checkpoint=FILE). All but `train` and `import`
need only the workdir: they read the configuration saved there. The fields, their meaning and their
defaults stand in tf_mdsm/settings.py; every one can be set as shown.

Exit status: 0 done, or stopped by SIGTERM and saved; 1 the run failed on its way; 2 it was
called wrongly, nothing was done; 130 interrupted (training saves first).
"""

import contextlib
import difflib
import logging
import os
import sys
import traceback

from absl import flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from tf_mdsm.config import file as configuration
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

_MODES = ("train", "sample", "restore", "evaluate", "likelihood", "export", "import")


def main(argv: list[str]) -> int:
    """Parses the command line, runs the mode, and returns the exit status."""
    if {"--help", "-h", "-help", "--helpfull"} & set(argv):
        print(__doc__)
        return 0
    try:
        _run(*_parse(argv))
    except InvalidArgument as error:
        return _fail(error, status=2)
    except KeyboardInterrupt:
        print("tf_mdsm: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return _fail(error, status=1)
    return 0


def _run(mode: str, config: ConfigDict, workdir: str, torch_checkpoint: str | None) -> None:
    _set_up_logging()
    tune_process()
    if mode == "import":
        # Before TensorFlow takes its seconds to load: the file may be refused.
        from tf_mdsm.networks.pytorch_weights import from_state_dict
        from tf_mdsm.system.torch_files import read_state_dict

        published = from_state_dict(read_state_dict(torch_checkpoint))
    with contextlib.nullcontext() if _is_verbose() else quiet_stderr():
        import tensorflow as tf

        # Physical ones: a runtime that has started cannot join other machines' any more.
        tf.config.list_physical_devices()
    # What is called float32 is float32: GPUs would round convolutions to ten bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if mode == "train":
        from tf_mdsm.runs.train import train

        train(config, workdir)
    elif mode == "import":
        from tf_mdsm.runs.import_weights import import_checkpoint

        import_checkpoint(config, workdir, published)
    elif mode == "sample":
        from tf_mdsm.runs.sample import sample

        for path in sample(config, workdir):
            print(path)
    elif mode == "restore":
        from tf_mdsm.runs.restore import restore

        for path in restore(config, workdir):
            print(path)
    elif mode == "evaluate":
        from tf_mdsm.runs.evaluate import evaluate

        for path in evaluate(config, workdir):
            print(path)
    elif mode == "likelihood":
        from tf_mdsm.runs.likelihood import likelihood

        for path in likelihood(config, workdir):
            print(path)
    else:
        from tf_mdsm.runs.export import export

        for path in export(config, workdir):
            print(path)


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
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _is_verbose() -> bool:
    return flags.FLAGS.is_parsed() and flags.FLAGS.verbosity >= 1


def _parse(argv: list[str]) -> tuple[str, ConfigDict, str, str | None]:
    """Mode, validated configuration, the run's folder, and the file to import.

    Raises:
        InvalidArgument: for anything wrong on the command line or in the recipe.
    """
    mode, recipe, workdir, torch_checkpoint = _look_ahead(argv)
    _check_overrides(argv)
    if mode not in ("train", "import") or recipe is None:
        configuration.get_config(workdir)
        recipe = f"{configuration.__file__}:{workdir}"
    # The config flag reads its overrides from sys.argv, from its definition on.
    sys.argv = [argv[0], f"--config={recipe}", *_without_flag(argv[1:], "config")]
    try:
        holder = config_flags.DEFINE_config_file("config", None, "The recipe.")
        for name in ("mode", "workdir", "torch_checkpoint"):
            flags.DEFINE_string(name, None, "See the module's description.")
        unused = flags.FLAGS(sys.argv)[1:]
        config = holder.value
    except Exception as error:  # A recipe is a program: it may raise anything.
        message = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
        if isinstance(error, flags.Error) and f"--config={recipe}" not in str(error):
            raise InvalidArgument("the command line", "be valid", message) from error
        raise InvalidArgument("--config", f"be a recipe ({message})", recipe) from error
    if unused:
        raise InvalidArgument("the command line", "hold flags only", unused[0])
    if not isinstance(config, ConfigDict):
        raise InvalidArgument("--config", "be a recipe: get_config() gives a ConfigDict", recipe)
    return mode, validate(config), workdir, torch_checkpoint


def _look_ahead(argv: list[str]) -> tuple[str, str | None, str, str | None]:
    """Mode, recipe, folder and file to import as typed, before the recipe is read."""
    known = flags.FlagValues()
    for name in ("mode", "config", "workdir", "torch_checkpoint"):
        flags.DEFINE_string(name, "train" if name == "mode" else None, "", flag_values=known)
    try:
        known(argv, known_only=True)
    except flags.Error as error:
        raise InvalidArgument("the command line", "be complete", one_line(error)) from error
    mode, recipe, workdir = known.mode, known.config, known.workdir
    if mode not in _MODES:
        raise InvalidArgument("--mode", f"be one of {', '.join(_MODES)}", mode or "nothing")
    if recipe is None and (workdir is None or mode == "import"):
        raise InvalidArgument("--config", "name a recipe, as configs/digits.py", "nothing")
    if recipe is not None and not os.path.isfile(recipe.split(":")[0]):
        raise InvalidArgument("--config", "name an existing recipe", recipe or "nothing")
    if workdir == "":
        raise InvalidArgument("--workdir", "name a folder", "nothing")
    if workdir is None:
        workdir = os.path.join("runs", os.path.splitext(os.path.basename(recipe))[0])
    return mode, recipe, os.path.expanduser(workdir), _file_to_import(mode, known.torch_checkpoint)


def _file_to_import(mode: str, path: str | None) -> str | None:
    if mode == "import" and not path:
        needed = "name the authors' PyTorch file for --mode=import"
        raise InvalidArgument("--torch_checkpoint", needed, "nothing")
    if mode != "import" and path is not None:
        raise InvalidArgument("--torch_checkpoint", "be left out unless --mode=import", path)
    return path and os.path.expanduser(path)


def _without_flag(arguments: list[str], name: str) -> list[str]:
    """The arguments less every `--name=value` and `--name value`."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument in (f"--{name}", f"-{name}"):
            next(rest, None)
        elif not argument.startswith((f"--{name}=", f"-{name}=")):
            kept.append(argument)
    return kept


_KINDS = {
    bool: ("true or false", lambda text: {"true": True, "false": False}[text.lower()]),
    int: ("an integer", int),
    float: ("a number", float),
    str: ("text", str),
}


def _check_overrides(argv: list[str]) -> None:
    """Names the first `--config.GROUP.FIELD[=VALUE]` that is no field or no value of its kind."""
    following = [*argv[1:], None]
    for argument, next_argument in zip(argv, following, strict=True):
        typed, has_value, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not typed.startswith("config."):
            continue
        default = _default_of(typed)
        if isinstance(default, bool) and not has_value:
            continue
        if not has_value:
            if next_argument is None or next_argument.startswith("--"):
                raise InvalidArgument(typed, "be given a value", "nothing")
            value = next_argument
        if isinstance(default, ConfigDict):
            raise InvalidArgument(typed, "be set field by field: it is a group", value)
        kind, convert = _KINDS[type(default)]
        try:
            convert(value)
        except (ValueError, KeyError) as error:
            raise InvalidArgument(typed, f"be {kind}", value) from error


def _default_of(typed: str) -> object:
    """The default of a field, `config.noise.sigma_min` say."""
    value = configuration.default_config()
    path = typed.split(".")[1:]
    for name in path:
        known = list(value.keys()) if isinstance(value, ConfigDict) else []
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise InvalidArgument(typed, f"be a known setting{hint}", name)
        value = value[name]
    return value


def _fail(error: Exception, status: int) -> int:
    print(f"tf_mdsm: {one_line(error)}", file=sys.stderr)
    if _is_verbose():
        traceback.print_exception(error)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
