"""Calls of the program that it refuses: what no setting may be, and wrong command lines."""

import math

from tests.helpers.recipes import recipe_flag
from tests.helpers.small_runs import ROOT
from tf_mdsm.config import default_config
from tf_mdsm.config.ranges import CHOICES, INTERVALS, OTHER_CHECKS, PATHS
from tf_mdsm.config.rules import flatten

DIGITS = recipe_flag("digits")
DEFAULTS = flatten(default_config())
CHECKED = CHOICES.keys() | INTERVALS.keys() | OTHER_CHECKS.keys()
HUGE = 10**39

# For each type of a setting: what its values are called, and texts that are none.
OTHER_TEXTS = {
    bool: ("true or false", ("maybe", "", "2", "nan", "None")),
    int: ("an integer", ("x", "", "1.5", "nan", "inf", "True", "1,2", "0x10")),
    float: ("a number", ("x", "", "True", "1,5", "(1)")),
    str: ("text", ()),
}
# Values that no number's range holds, and texts that are no choice.
WRONG_VALUES = {
    bool: (),
    int: (-HUGE, HUGE),
    float: (math.nan, math.inf, -math.inf, -float(HUGE), float(HUGE)),
    str: ("nonsense", " ", "0", "ä", "x" * 5_000, "None", "mirrored,one_device"),
}

# Wrong command lines, and what the answer says.
WRONG_CALLS = [
    ([], "`--config` must name a recipe"),
    (["--mode=sample"], "`--config` must name a recipe"),
    (["--config"], "Missing value for flag"),
    (["--config="], "`--config` must name an existing recipe"),
    (["--config=configs/nothing.py"], "`--config` must name an existing recipe"),
    ([f"--config={ROOT}"], "`--config` must name an existing recipe"),
    ([f"--config={ROOT}/README.md"], "`--config` must be a recipe"),
    ([f"{DIGITS}:x"], "`--config` must be a recipe"),
    (["--mode=sample", "--workdir="], "`--workdir` must name a folder"),
    (["--mode=sample", "--workdir=nowhere"], "`--workdir` must hold a run's config.json"),
    ([DIGITS, "--workdir=gs://bucket/run"], "`--workdir` must be a path in UTF-8"),
    (["--mode=sample", "--workdir=file:///tmp/run"], "`--workdir` must be a path in UTF-8"),
    ([DIGITS, "--config.data.path=s3://b"], "`config.data.path` must be a path in UTF-8"),
    (
        [DIGITS, "--mode=import", "--torch_checkpoint=hdfs://host/x.pt"],
        "`--torch_checkpoint` must be a path in UTF-8",
    ),
    ([DIGITS, "--mode="], "`--mode` must be one of train, sample"),
    ([DIGITS, "--mode=dream"], "`--mode` must be one of train, sample"),
    (["--mode", DIGITS], "`--mode` must be one of train, sample"),
    ([DIGITS, "--config.noise.sigma_mn=1"], "a known setting (did you mean sigma_min?)"),
    ([DIGITS, "--config.seed=1", "--config.noise.sigma_mn=1"], "`config.noise.sigma_mn` must be"),
    ([DIGITS, "--config.nothing.at.all=1"], "`config.nothing.at.all` must be a known setting"),
    ([DIGITS, "--config.=1"], "must be a known setting"),
    ([DIGITS, "--config..sigma_min=1"], "must be a known setting"),
    ([DIGITS, "--config.noise.sigma_min.x=1"], "must be a known setting"),
    ([DIGITS, "--config.noise=1"], "`config.noise` must be set field by field"),
    ([DIGITS, "--config.noise.sigma_min"], "`config.noise.sigma_min` must be given a value"),
    ([DIGITS, "--config.seed", "--mode=train"], "`config.seed` must be given a value"),
    ([DIGITS, "--config.noise.num_levels=1.5"], "`config.noise.num_levels` must be an integer"),
    ([DIGITS, "--config.noise.sigma_min=x"], "`config.noise.sigma_min` must be a number"),
    ([DIGITS, "--config.noise.sigma_min=nan"], "`config.noise.sigma_min` must be a finite number"),
    ([DIGITS, "--config.noise.sigma_min=1e400"], "`config.noise.sigma_min` must be a finite"),
    ([DIGITS, "--config.data.flip=maybe"], "`config.data.flip` must be true or false"),
    ([DIGITS, "--noconfig.noise.sigma_min"], "must be set by --config.GROUP.FIELD=VALUE"),
    ([DIGITS, "--noconfig.data.flip=true"], "must be set by --config.GROUP.FIELD=VALUE"),
    ([DIGITS, "--noconfig.data.flop"], "did you mean flip?"),
    ([DIGITS, "--config.data.flip", "true"], "must hold flags only. Received: true"),
    ([DIGITS, "--", "--config.seed=1"], "must hold flags only"),
    ([DIGITS, "runs/x"], "must hold flags only"),
    ([DIGITS, "--flagfile=nothing"], "Unable to open flagfile"),
    ([DIGITS, "--verbosity=x"], "--verbosity=x"),
    ([DIGITS, "--verbosity"], "Missing value for flag --verbosity"),
    ([DIGITS, "--wrkdir=runs/x"], "Did you mean: workdir ?"),
    ([DIGITS, "--torch_checkpoint=x"], "must be left out unless --mode=import"),
    ([DIGITS, "--mode=import"], "must name the authors' PyTorch file for --mode=import"),
    ([DIGITS, "--mode=import", "--torch_checkpoint=no.pt"], "must name an existing file"),
    ([DIGITS, "--config.noise.sigma_max=0.01"], "`config.noise.sigma_max` must exceed"),
]


def is_free_text(field: str) -> bool:
    """Whether a setting names the user's own files or data: any text may be one."""
    return isinstance(DEFAULTS[field], str) and (
        field not in CHECKED or field in PATHS or "split" in field
    )


def wrong_texts(field: str) -> tuple[str, ...]:
    """All that is typed and is no value of a setting."""
    kind = type(DEFAULTS[field])
    return () if is_free_text(field) else OTHER_TEXTS[kind][1] + tuple(map(str, WRONG_VALUES[kind]))
