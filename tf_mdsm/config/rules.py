"""Which settings make sense, and which a continued run may change."""

import math
from collections.abc import Callable

from ml_collections import ConfigDict

from tf_mdsm.config import default_config
from tf_mdsm.config.ranges import CHOICES, RANGES
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import heads_of

__all__ = ["check_same_run", "final_sigma", "validate"]

# What a continued run may change: nothing in these changes what is trained.
_FREE_FIELDS = (
    "checkpoint",
    "sampling.",
    "restoration.",
    "evaluation.",
    "likelihood.",
    "export.",
    "data.path",
    "data.data_dir",
    "data.cache",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.log_every",
    "training.validate_every",
    "training.validation_images",
    "training.sample_every",
    "training.preview_images",
    "training.evaluate_every",
    "training.evaluation_samples",
    "training.steps_per_call",
    "training.strategy",
    "training.cluster",
    "training.tpu",
    "training.jit_compile",
    "training.max_rollbacks",
)


def validate(config: ConfigDict) -> ConfigDict:
    """Returns `config` if every value and every pair of values makes sense.

    Raises:
        InvalidArgument: for the first field that does not.
    """
    _check_types(config, default_config())
    for field, choices in CHOICES.items():
        _require(config, field, f"be one of {', '.join(choices)}", lambda v, c=choices: v in c)
    for fields, requirement, holds in RANGES:
        for field in fields.split():
            _require(config, field, requirement, holds)
    name, heads = config.network.name, heads_of(config.network.name)
    fits = f"be one of {', '.join(heads)} for network {name}"
    _require(config, "network.head", fits, lambda v: v in heads)
    noise = config.noise
    levels = "noise.num_levels"
    if noise.num_levels == 1:
        same = noise.sigma_min == noise.sigma_max
        _require(config, levels, "exceed 1 unless sigma_min equals sigma_max", lambda _: same)
    else:
        above = f"exceed config.noise.sigma_min ({noise.sigma_min})"
        _require(config, "noise.sigma_max", above, lambda v: v > noise.sigma_min)
    if noise.spacing == "log_normal":
        inside = f"lie in [{noise.sigma_min}, {noise.sigma_max}], the range of the levels"
        within = noise.sigma_min <= noise.median <= noise.sigma_max
        _require(config, "noise.median", inside, lambda _: within)
    if config.data.source in ("idx", "npz", "folder"):
        _require(config, "data.path", f"be given for source {config.data.source}", bool)
    if config.evaluation.foreign.source in ("idx", "npz", "folder"):
        kind = config.evaluation.foreign.source
        _require(config, "evaluation.foreign.path", f"be given for source {kind}", bool)
    if config.training.evaluate_every:
        needs = "be classifier or inception for config.training.evaluate_every"
        _require(config, "evaluation.features", needs, lambda v: v != "none")
    _check_sampler(config)
    if config.restoration.task == "inpaint_mask":
        _require(config, "restoration.mask", "name a file for task inpaint_mask", bool)
    if config.optimizer.schedule == "cosine":
        rate = config.optimizer.learning_rate
        final = "optimizer.final_learning_rate"
        _require(config, final, f"not exceed the learning_rate ({rate})", lambda v: v <= rate)
    return config


def _check_sampler(config: ConfigDict) -> None:
    noise, sampling = config.noise, config.sampling
    if sampling.start == "images":
        _require(config, "sampling.start_images", "name a file for sampling.start=images", bool)
    if sampling.sampler == "annealed_langevin":
        others = sampling.cooling_steps + sampling.final_steps
        _require(config, "sampling.hot_steps", "leave the chain a step", lambda v: v + others > 0)
        return
    chain_only = 'be annealed_langevin, as the noise.weighting "score" trains no blind denoiser'
    _require(config, "sampling.sampler", chain_only, lambda _: noise.weighting != "score")
    last = final_sigma(config)
    above = f"exceed the level where chains end ({last}); 0 stands for {noise.sigma_max}"
    _require(config, "sampling.sigma_max", above, lambda v: (v or noise.sigma_max) > last)


def final_sigma(config: ConfigDict) -> float:
    """The noise level at which chains of the fast samplers end.

    The denoiser is blind: below the smallest trained level it still takes away what noise it sees.
    """
    sampling, trained = config.sampling, config.noise.sigma_min
    return sampling.sigma_min or (trained / 10 if sampling.sampler == "heun" else trained)


def check_same_run(config: ConfigDict, saved: ConfigDict) -> None:
    """Refuses to continue a run under settings that would have made another one.

    `training.num_steps` may grow when the learning rate does not depend on it.

    Raises:
        InvalidArgument: for the first such field.
    """
    free = _FREE_FIELDS
    if config.optimizer.schedule == "constant":
        free += ("training.num_steps",)
    before = _flat(saved)
    for field, value in _flat(config).items():
        if value != before[field] and not field.startswith(free):
            raise InvalidArgument(
                f"config.{field}",
                f"stay {before[field]!r}, as this --workdir was made with it "
                "(or choose another --workdir)",
                repr(value),
            )


def _value(config: ConfigDict, field: str) -> object:
    for name in field.split("."):
        config = config[name]
    return config


def _require(config: ConfigDict, field: str, requirement: str, holds: Callable) -> None:
    value = _value(config, field)
    if not holds(value):
        raise InvalidArgument(f"config.{field}", requirement, value)


def _flat(config: ConfigDict, prefix: str = "") -> dict[str, object]:
    """{"noise.sigma_min": 0.05, …} over all groups."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _check_types(config: ConfigDict, default: ConfigDict) -> None:
    expected, given = _flat(default), _flat(config)
    for field in expected.keys() - given.keys():
        raise InvalidArgument(f"config.{field}", "be present", "nothing")
    for field, value in given.items():
        if field not in expected:
            raise InvalidArgument(f"config.{field}", "be a known setting", value)
        kind = type(expected[field])
        wanted = {int: "an integer", float: "a finite number", bool: "true or false", str: "text"}
        is_right = (
            (isinstance(value, (int, float)) and not isinstance(value, bool))
            if kind is float
            else type(value) is kind
        )
        if not is_right or (kind is float and not math.isfinite(value)):
            raise InvalidArgument(f"config.{field}", f"be {wanted[kind]}", value)
