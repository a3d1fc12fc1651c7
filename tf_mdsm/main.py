"""Energy-based models of images by multi-scale denoising score matching.

    python -m tf_mdsm.main --config=configs/digits.py [--mode=MODE] [--workdir=runs/digits]
        [--config.GROUP.FIELD=VALUE ...] [--verbosity=1]

    MODE         what it does                                       output in the run's folder
    train        trains, or resumes from the newest checkpoint      checkpoints/, tensorboard/
                 (default)
    sample       draws images                                       samples/
    restore      solves inverse problems: inpainting,               restorations/
                 super-resolution, deblurring, denoising, ...
    evaluate     measures sample quality, memorization, outlier     evaluation/report.html,
                 detection and denoising                            evaluation/metrics.json
    likelihood   bits per dimension: a bound by the sampler, the    evaluation/likelihood*.json
                 density of its flow, or log Z of the energy
    export       writes a SavedModel, StableHLO programs, or        export/
                 PyTorch weights
    import       starts a run from the authors' PyTorch weights     checkpoints/, config.json
                 (--torch_checkpoint=FILE)

--config names a recipe. --workdir names the run's folder; its default is runs/<name of the recipe>.
`train` and `import` use the recipe. All other modes use the configuration that is saved in the
run's folder, so they need --workdir only, and later edits of the recipe do not reach them.
--config.GROUP.FIELD=VALUE overrides a setting in every mode. tf_mdsm/config/defaults.py lists all
settings with their meaning and default. --verbosity=1 shows TensorFlow's messages, and the
traceback when a run fails.

Exit status: 0 done, or training was stopped by SIGTERM, SIGHUP or SIGUSR1 and has saved; 1 the run
failed; 2 the call was wrong and nothing was done; 130 interrupted (training saves first).
"""

import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

from absl.logging import converter

from tf_mdsm.config.flags import CommandLine, parse_command_line
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.cpu_tuning import compute_parts_at_once, tune_process
from tf_mdsm.system.help_text import help_text
from tf_mdsm.system.keras_backend import require_tensorflow_backend
from tf_mdsm.system.matplotlib_backend import use_file_backend
from tf_mdsm.system.signals import raise_interrupts
from tf_mdsm.system.stderr import quiet_stderr
from tf_mdsm.system.stdout import print_lines
from tf_mdsm.system.temporary_folder import use_temporary_folder

# The module and the function of each mode. A function takes the configuration and the run's folder
# and returns the paths of the files that it wrote for the user to look at.
_MODES = {
    "train": ("tf_mdsm.runs.train", "train"),
    "sample": ("tf_mdsm.runs.sample", "sample"),
    "restore": ("tf_mdsm.runs.restore", "restore"),
    "evaluate": ("tf_mdsm.runs.evaluate", "evaluate"),
    "likelihood": ("tf_mdsm.runs.likelihood", "likelihood"),
    "export": ("tf_mdsm.runs.export", "export"),
    "import": ("tf_mdsm.runs.import_weights", "import_weights"),
}

# Modes that spend their time on gradients of energies. `evaluate` also runs classifiers, and what
# `export` writes runs in other processes.
_MODES_OF_GRADIENTS = ("train", "sample", "restore", "likelihood")

# The program as `__doc__` names it, and the command that pip installs.
_PROGRAM, _COMMAND = "python -m tf_mdsm.main", "tf-mdsm"


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line, runs the mode, prints the paths it wrote; returns the exit status.

    It may be called any number of times in a process, also in a notebook.

    Args:
        argv: the program's name and its arguments. None: `sys.argv`.
    """
    argv = sys.argv if argv is None else argv
    if {"--help", "-h", "-help", "--helpfull"} & set(argv):
        started = _COMMAND if os.path.basename(argv[0]) == _COMMAND else _PROGRAM
        print_lines([help_text(__file__).replace(_PROGRAM, started)])
        return 0
    is_verbose = False
    try:
        command = parse_command_line(argv, tuple(_MODES))
        is_verbose = command.verbosity >= 1
        with raise_interrupts(), _messages_on_stderr():
            paths = _run(command)
        print_lines(paths)
    except InvalidArgument as error:
        return _fail(error, 2, is_verbose)
    except KeyboardInterrupt:
        print("tf_mdsm: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return _fail(error, 1, is_verbose)
    return 0


def _run(command: CommandLine) -> list[str]:
    """Runs the mode and returns the paths of the files that it wrote."""
    require_tensorflow_backend()
    use_file_backend()
    use_temporary_folder(command.workdir)
    _set_tensorflow_messages(command.verbosity)
    tune_process()
    if command.mode in _MODES_OF_GRADIENTS:
        compute_parts_at_once()
    options = {}
    if command.torch_checkpoint is not None:
        # Before TensorFlow, which takes seconds to load: the file may be refused.
        from tf_mdsm.networks.pytorch_weights import from_state_dict
        from tf_mdsm.system.torch_files import read_state_dict

        options["published"] = from_state_dict(read_state_dict(command.torch_checkpoint))
    _load_tensorflow(command)
    module, function = _MODES[command.mode]
    run = getattr(importlib.import_module(module), function)
    return run(command.config, command.workdir, **options)


def _load_tensorflow(command: CommandLine) -> None:
    """Loads TensorFlow, and sets up the GPUs before their first use."""
    with contextlib.nullcontext() if command.verbosity >= 1 else quiet_stderr():
        import tensorflow as tf

        from tf_mdsm.distributed.gpus import set_up_gpus

        # Physical devices only: listing logical devices would start the runtime, after which this
        # process could not join a cluster.
        tf.config.list_physical_devices()
    training = command.config.training
    set_up_gpus(tensor_float_32=training.tensor_float_32, memory_growth=training.memory_growth)


@contextlib.contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """Shows the package's own messages on standard error, each with the time."""
    logger, handler = logging.getLogger("tf_mdsm"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _set_tensorflow_messages(verbosity: int) -> None:
    """Hides the messages of TensorFlow and absl below --verbosity=1, except errors."""
    if verbosity >= 1:
        absl_level, tensorflow_level = converter.absl_to_standard(verbosity), logging.NOTSET
    else:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        absl_level = tensorflow_level = logging.ERROR
    logging.getLogger("absl").setLevel(absl_level)
    logging.getLogger("tensorflow").setLevel(tensorflow_level)


def _fail(error: Exception, status: int, is_verbose: bool) -> int:
    """Prints an error on one line, and its traceback if asked to; returns the exit status."""
    print(f"tf_mdsm: {one_line(error)}", file=sys.stderr)
    if is_verbose:
        traceback.print_exception(error)
    return status


if __name__ == "__main__":
    sys.exit(main())
