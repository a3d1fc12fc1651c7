"""The program `tf_mdsm.main`: calls, answers to wrong ones, messages, exit status."""

import importlib
import logging
import re
import sys
import types

import absl.flags
import pytest
import tensorflow as tf

from tests.helpers.gpus import with_gpus
from tests.helpers.recipes import recipe_flag
from tests.helpers.small_runs import call, call_process, flags
from tests.helpers.wrong_calls import DEFAULTS, DIGITS, HUGE, WRONG_CALLS
from tf_mdsm import main as program
from tf_mdsm.config.flags import CommandLine
from tf_mdsm.config.ranges import CHOICES, INTERVALS
from tf_mdsm.errors import InvalidArgument, RunError

# What the replaced mode raises for a seed, and the exit status that follows.
ERRORS = {
    11: (InvalidArgument("--workdir", "be lucky", "x"), 2),
    12: (OSError("no space"), 1),
    13: (RunError("unlucky"), 1),
    14: (KeyboardInterrupt(), 130),
}


@pytest.fixture(autouse=True)
def levels_of_messages():
    """Leaves the levels of other libraries' messages, which a call sets, as they were."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def calls(monkeypatch):
    """Replaces the function of mode "train" by one that only records its calls."""
    recorded = []

    def run(config, workdir):
        recorded.append((config, workdir))
        if config.seed in ERRORS:
            raise ERRORS[config.seed][0]
        logging.getLogger("tf_mdsm.runs").info("a message")
        return [f"{workdir}/first", f"{workdir}/second"]

    module = types.ModuleType("recording_run")
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(program._MODES, "train", (module.__name__, "run"))
    return recorded


@pytest.fixture
def refusal(monkeypatch, tmp_path):
    """A function that makes a wrong call where TensorFlow cannot be loaded; the line it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)

    def line_of(*arguments: str) -> str:
        answer = call(*arguments)
        shown = ([argument[:80] for argument in arguments], answer.stderr[:1_000])
        assert answer.returncode == 2, shown
        (line,) = answer.stderr.splitlines()
        assert line.startswith("tf_mdsm: `"), shown
        assert " must " in line, shown
        assert len(line) < 1_000, shown
        assert not answer.stdout, shown
        assert not [*tmp_path.iterdir()], shown
        return line

    return line_of


def process_state() -> tuple:
    """What a call of `main` must leave as it was."""
    logger = logging.getLogger("tf_mdsm")
    logging_state = (list(logger.handlers), logger.level, logger.propagate)
    values = absl.flags.FLAGS
    absl_flags = {name: values[name].value for name in values}
    return list(sys.argv), absl_flags, values.is_parsed(), logging_state


def test_main_can_be_called_again(calls, tmp_path):
    """A call does not depend on earlier ones and leaves the process as it was."""
    before = process_state()
    digits = [DIGITS, f"--workdir={tmp_path}/digits", "--config.seed=7"]
    done = call(*digits)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stdout.splitlines() == [f"{tmp_path}/digits/first", f"{tmp_path}/digits/second"]
    refused = call(*digits, "--config.noise.sigma_mn=1")
    assert refused.returncode == 2
    assert "`config.noise.sigma_mn` must be a known setting" in refused.stderr
    assert "`--config` must name a recipe" in call().stderr
    other = call(recipe_flag("mixture"), "--config.data.flip")
    assert other.stdout.splitlines() == ["runs/mixture/first", "runs/mixture/second"]

    (first, first_workdir), (second, second_workdir) = calls
    assert (first.seed, first.data.source, first.data.flip) == (7, "digits", False)
    assert first_workdir == f"{tmp_path}/digits"
    assert (second.seed, second.data.source, second.data.flip) == (0, "synthetic", True)
    assert second_workdir == "runs/mixture"
    assert process_state() == before


def test_messages_are_shown_once_in_each_call(calls):
    for _ in range(3):
        answer = call(DIGITS)
        assert answer.returncode == 0
        assert re.fullmatch(r"\d\d:\d\d:\d\d a message\n", answer.stderr)


@pytest.mark.parametrize("seed", ERRORS)
def test_exit_status_and_traceback(seed, calls):
    """The status says what ended the run; a traceback is shown when asked for."""
    error, status = ERRORS[seed]
    for verbosity in (1, 0):
        before = process_state()
        answer = call(DIGITS, f"--config.seed={seed}", f"--verbosity={verbosity}")
        assert answer.returncode == status
        assert answer.stderr.startswith(f"tf_mdsm: {str(error) or 'interrupted'}\n")
        is_traced = bool(verbosity) and status != 130
        assert ("Traceback" in answer.stderr) == is_traced
        assert is_traced or answer.stderr.count("\n") == 1
        assert not answer.stdout
        assert process_state() == before


def test_messages_of_tensorflow_are_shown_when_asked_for(calls):
    """Except errors, which are always shown."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    call(DIGITS)
    assert not any(logger.isEnabledFor(logging.WARNING) for logger in loggers)
    assert all(logger.isEnabledFor(logging.ERROR) for logger in loggers)
    call(DIGITS, "--verbosity=1")
    assert all(logger.isEnabledFor(logging.WARNING) for logger in loggers)


def test_modes_that_compute_gradients_compute_parts_at_once(calls, monkeypatch):
    """Before TensorFlow is loaded."""
    events = []
    monkeypatch.setattr(program, "compute_parts_at_once", lambda: events.append("parts"))
    monkeypatch.setattr(program, "_load_tensorflow", lambda is_verbose: events.append("loaded"))
    divided = []
    for mode in program._MODES:
        events.clear()
        monkeypatch.setitem(program._MODES, mode, program._MODES["train"])
        config = types.SimpleNamespace(seed=0)
        program._run(CommandLine(mode, config, "runs/x", verbosity=0, torch_checkpoint=None))
        assert events[-1] == "loaded"
        if "parts" in events:
            divided.append(mode)
    assert divided == ["train", "sample", "restore", "likelihood"]


@pytest.mark.parametrize("enabled", [False, True])
def test_gpus_have_the_runs_settings(calls, monkeypatch, enabled):
    """By default they round nothing, and take memory as they need it."""
    gpus = with_gpus(monkeypatch, (8, 0))
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    changes = ["--config.training.tensor_float_32", "--config.training.memory_growth=false"]
    try:
        tf.config.experimental.enable_tensor_float_32_execution(not enabled)
        assert call(DIGITS, *changes[: 2 * enabled]).returncode == 0
        assert tf.config.experimental.tensor_float_32_execution_enabled() == enabled
        assert gpus.memory_growth == {"GPU:0": not enabled}
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help(flag):
    result = call(flag)
    assert result.returncode == 0
    assert "--mode=MODE" in result.stdout


def test_the_usage_names_the_command_that_was_started(monkeypatch, capsys):
    """The command that pip installs calls `main` without arguments."""
    for path, command in (
        ("/anywhere/tf_mdsm/main.py", "python -m tf_mdsm.main"),
        ("/anywhere/bin/tf-mdsm", "tf-mdsm"),
    ):
        monkeypatch.setattr(sys, "argv", [path, "--help"])
        assert program.main() == 0
        shown = capsys.readouterr().out
        assert f"\n    {command} --config=configs/digits.py" in shown
        assert ("python -m" in shown) == ("python -m" in command)


def test_another_backend_of_keras_is_refused(calls, monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    answer = call(DIGITS)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith('tf_mdsm: `KERAS_BACKEND` must be "tensorflow" for tf_mdsm: ')
    assert calls == []


def test_every_mode_has_its_function_and_is_explained():
    for mode, (module, function) in program._MODES.items():
        assert callable(getattr(importlib.import_module(module), function))
        assert f"\n    {mode} " in program.__doc__


@pytest.mark.parametrize(
    ("arguments", "message"),
    WRONG_CALLS,
    ids=[" ".join(arguments)[-60:] or "nothing" for arguments, _ in WRONG_CALLS],
)
def test_wrong_calls_are_refused_without_tensorflow(arguments, message, refusal):
    """Each ends with one line, and nothing is written."""
    assert message in refusal(*arguments)


GROUPS = dict.fromkeys(field.partition(".")[0] for field in DEFAULTS)


@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_out_of_range_is_refused_without_tensorflow(group, refusal):
    """A huge number or a long text reaches the check of its own setting through the program."""
    checked = CHOICES.keys() | INTERVALS.keys()
    fields = [field for field in checked if field.partition(".")[0] == group]
    assert fields
    for field in fields:
        value = f"{HUGE}" if field in INTERVALS else "x" * 5_000
        line = refusal(DIGITS, f"--config.{field}={value}")
        assert line.startswith(f"tf_mdsm: `config.{field}` must "), line
        assert "Received:" in line, line


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"training__batch_size": 2_000}, "`config.training.batch_size` must not exceed"),
        ({"data__source": "idx", "data__path": "/nowhere"}, "`config.data.path` must be a folder"),
        ({"data__channels": 2}, "`config.data.channels` must be 1"),
        (
            {"data__image_size": 12, "network__name": "res6", "network__channels": 2},
            "`config.data.image_size` must be divisible by 8",
        ),
    ],
    ids=["batch", "folder", "channels", "size"],
)
def test_settings_that_do_not_fit_the_data_end_with_one_line(fields, message, tmp_path):
    result = call(*flags(**fields), f"--workdir={tmp_path}/run")
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_process_refuses_a_wrong_call_before_it_loads_tensorflow(tmp_path, monkeypatch):
    """The program as a user starts it, with a TensorFlow that ends the process when loaded."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit(99)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused = call_process(DIGITS, "--config.noise.sigma_min=0", f"--workdir={tmp_path}/run")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "tf_mdsm: `config.noise.sigma_min` must lie in (0, 1000]. Received: 0.0"
    ]
    assert not (tmp_path / "run").exists()
    assert call_process(DIGITS, f"--workdir={tmp_path}/run").returncode == 99
