"""Every setting with values that it cannot have, typed on the command line."""

import collections
import json
import subprocess
import sys

import pytest
from ml_collections import ConfigDict
from small_runs import ROOT, environment

from tf_mdsm.config import default_config
from tf_mdsm.config.ranges import CHOICES, RANGES

RECIPE = f"--config={ROOT / 'configs' / 'digits.py'}"
HUGE = str(10**30)


def flat(config: ConfigDict, prefix: str = "config.") -> dict[str, object]:
    found = {}
    for name, value in config.items():
        inside = flat(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else None
        found |= inside or {prefix + name: value}
    return found


FIELDS = flat(default_config())
BOUNDED = {f"config.{field}" for fields, _, _ in RANGES for field in fields.split()}
# What each kind of setting cannot be: another type, empty, not a number, out of any range.
WRONG = {
    bool: ("maybe", "", "2", "nan", "None"),
    int: ("x", "", "1.5", "nan", "inf", "True", f"-{HUGE}", HUGE, "1,2", "0x10"),
    float: ("x", "", "nan", "inf", "-inf", "True", "1e400", f"-{HUGE}", "1e39", "1,5", "(1)"),
}
# Text is a choice, or a name of the user's own, which is looked for when it is used.
WRONG_CHOICES = ("nonsense", " ", "0", "ä", "x" * 5_000, "None", "mirrored,one_device")


def wrong_values(field: str) -> tuple[str, ...]:
    default = FIELDS[field]
    if isinstance(default, str):
        is_choice = field.removeprefix("config.") in CHOICES or field in BOUNDED
        return WRONG_CHOICES if is_choice and "split" not in field else ()
    return WRONG[type(default)]


CASES = [(field, value) for field in FIELDS for value in wrong_values(field)]

# The command line by itself, and settings that do not go together.
OTHERS = [
    ["--config=configs/nothing.py"],
    ["--config="],
    ["--config"],
    [f"--config={ROOT / 'README.md'}"],
    [f"--config={ROOT}"],
    [],
    ["--mode=sample"],
    ["--mode=sample", "--workdir="],
    ["--mode=sample", "--workdir=nowhere"],
    ["--mode=", RECIPE],
    ["--mode=fly", RECIPE],
    ["--mode", RECIPE],
    [RECIPE, "--config.noise.sigma_mim=1"],
    [RECIPE, "--config.noise=1"],
    [RECIPE, "--config.nothing.at.all=1"],
    [RECIPE, "--config.=1"],
    [RECIPE, "--config..sigma_min=1"],
    [RECIPE, "--config.noise.sigma_min"],
    [RECIPE, "--config.noise.sigma_min.x=1"],
    [RECIPE, "--wordkir=runs/x"],
    [RECIPE, "runs/x"],
    [RECIPE, "--torch_checkpoint=x"],
    [RECIPE, "--mode=import"],
    [RECIPE, "--mode=import", "--torch_checkpoint=nothing.pt"],
    [RECIPE, "--config.noise.sigma_min=3", "--config.noise.sigma_max=2"],
    [RECIPE, "--config.noise.num_levels=1"],
    [RECIPE, "--config.noise.spacing=log_normal", "--config.noise.median=900"],
    [RECIPE, "--config.network.name=res12", "--config.network.head=distance"],
    [RECIPE, "--config.data.source=folder", "--config.data.path="],
    [RECIPE, "--config.evaluation.foreign.source=idx"],
    [RECIPE, "--config.restoration.task=inpaint_mask"],
    [RECIPE, "--config.sampling.start=images"],
    [RECIPE, "--config.sampling.sigma_max=0.01"],
    [RECIPE, "--config.optimizer.final_learning_rate=9"],
    [RECIPE, "--config.noise.weighting=score"],
    [RECIPE, "--config.training.evaluate_every=1", "--config.evaluation.features=none"],
]


@pytest.fixture(scope="module")
def answers():
    """What the program did with each case, by its arguments."""
    calls = [[RECIPE, f"--{field}={value}"] for field, value in CASES] + OTHERS
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "refusals.py")],
        input="".join(json.dumps(call) + "\n" for call in calls),
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(calls)
    return {tuple(call): json.loads(line) for call, line in zip(calls, lines, strict=True)}


def assert_refused(arguments: list[str], answer: dict) -> str:
    """Status 2, one line, nothing written; the line."""
    shown = [argument[:80] for argument in arguments]
    assert answer["status"] == 2, (shown, answer)
    lines = answer["stderr"].splitlines()
    assert len(lines) == 1, (shown, answer)
    assert lines[0].startswith("tf_mdsm: "), (shown, answer)
    assert len(lines[0]) < 1_000, shown
    assert answer["written"] == [], (shown, answer)
    return lines[0]


def test_there_are_many():
    assert len(CASES) + len(OTHERS) >= 300
    assert {field for field, _ in CASES} | {
        field for field, default in FIELDS.items() if isinstance(default, str)
    } == set(FIELDS)


@pytest.mark.parametrize("field", dict.fromkeys(field for field, _ in CASES))
def test_a_setting_that_cannot_be(field, answers):
    for value in wrong_values(field):
        arguments = [RECIPE, f"--{field}={value}"]
        line = assert_refused(arguments, answers[tuple(arguments)])
        assert f"`{field}` must " in line, line
        assert "Received:" in line, line


@pytest.mark.parametrize("arguments", OTHERS, ids=lambda a: " ".join(a)[-60:] or "nothing")
def test_a_call_that_cannot_be(arguments, answers):
    assert " must " in assert_refused(arguments, answers[tuple(arguments)])


def test_every_number_is_bounded():
    """A setting without a range would take the first number that overflows something."""
    numbers = [field for field, value in FIELDS.items() if type(value) in (int, float)]
    kinds = collections.Counter(type(FIELDS[field]) for field in numbers)
    assert set(numbers) <= BOUNDED, set(numbers) - BOUNDED
    assert kinds[int] > 50
    assert kinds[float] > 30
