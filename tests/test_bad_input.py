"""Wrong calls: every setting with values that are not allowed, and wrong command lines."""

import collections
import json
import subprocess
import sys

import pytest
from small_runs import ROOT, environment

from tf_mdsm.config import default_config
from tf_mdsm.config.ranges import CHOICES, INTERVALS, OTHER_CHECKS
from tf_mdsm.config.rules import flatten

RECIPE = f"--config={ROOT / 'configs' / 'digits.py'}"
HUGE = str(10**30)


DEFAULTS = flatten(default_config())
CHECKED = CHOICES.keys() | INTERVALS.keys() | OTHER_CHECKS.keys()
# Texts that no setting of a type may be: of another type, empty, not a number, out of any range.
WRONG = {
    bool: ("maybe", "", "2", "nan", "None"),
    int: ("x", "", "1.5", "nan", "inf", "True", f"-{HUGE}", HUGE, "1,2", "0x10"),
    float: ("x", "", "nan", "inf", "-inf", "True", "1e400", f"-{HUGE}", "1e39", "1,5", "(1)"),
}
# Texts that are none of the choices. Other text settings name the user's own files and data.
WRONG_CHOICES = ("nonsense", " ", "0", "ä", "x" * 5_000, "None", "mirrored,one_device")


def wrong_values(field: str) -> tuple[str, ...]:
    """Texts that are not allowed as a setting's value."""
    default = DEFAULTS[field]
    if isinstance(default, str):
        return WRONG_CHOICES if field in CHECKED and "split" not in field else ()
    return WRONG[type(default)]


CASES = [(field, value) for field in DEFAULTS for value in wrong_values(field)]

# Wrong command lines, and settings that do not fit together.
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
    [RECIPE, "--config.noise.sigma_min", "--mode=train"],
    [RECIPE, "--noconfig.noise.sigma_min"],
    [RECIPE, "--noconfig.data.flop"],
    [RECIPE, "--noconfig.data.flip=true"],
    [RECIPE, "--config.data.flip", "true"],
    [RECIPE, "--", "--config.seed=1"],
    [RECIPE, "--flagfile=nothing"],
    [RECIPE, "--verbosity=x"],
    [RECIPE, "--verbosity"],
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
    """What the program answered in each case, by its arguments."""
    calls = [[RECIPE, f"--config.{field}={value}"] for field, value in CASES] + OTHERS
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
    """Asserts exit status 2, one line and no file written; returns the line."""
    shown = [argument[:80] for argument in arguments]
    assert answer["status"] == 2, (shown, answer)
    lines = answer["stderr"].splitlines()
    assert len(lines) == 1, (shown, answer)
    assert lines[0].startswith("tf_mdsm: "), (shown, answer)
    assert len(lines[0]) < 1_000, shown
    assert answer["written"] == [], (shown, answer)
    return lines[0]


def test_every_setting_is_among_the_cases():
    assert len(CASES) + len(OTHERS) >= 300
    texts = {field for field, default in DEFAULTS.items() if isinstance(default, str)}
    assert {field for field, _ in CASES} | texts == set(DEFAULTS)


@pytest.mark.parametrize("field", dict.fromkeys(field for field, _ in CASES))
def test_wrong_values_are_refused(field, answers):
    for value in wrong_values(field):
        arguments = [RECIPE, f"--config.{field}={value}"]
        line = assert_refused(arguments, answers[tuple(arguments)])
        assert f"`config.{field}` must " in line, line
        assert "Received:" in line, line


@pytest.mark.parametrize("arguments", OTHERS, ids=lambda a: " ".join(a)[-60:] or "nothing")
def test_wrong_calls_are_refused(arguments, answers):
    assert " must " in assert_refused(arguments, answers[tuple(arguments)])


def test_every_number_has_a_range():
    """Without a range, a setting would accept a number that overflows later."""
    numbers = {field for field, value in DEFAULTS.items() if type(value) in (int, float)}
    counts = collections.Counter(type(DEFAULTS[field]) for field in numbers)
    assert numbers == INTERVALS.keys() | {"data.channels"}
    assert counts[int] > 50
    assert counts[float] > 30


def test_every_check_is_of_a_setting():
    assert set(DEFAULTS) >= CHECKED
    assert not CHOICES.keys() & INTERVALS.keys()
