"""Checks of a whole configuration, and of the settings that a resumed run may change."""

import math
from typing import Any, NoReturn

from ml_collections import ConfigDict

from tf_mdsm.config.defaults import default_config
from tf_mdsm.config.ranges import unmet_requirement
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import HEADS_WITH_ONE_GUESS, heads_of
from tf_mdsm.weightings import trains_denoiser

__all__ = [
    "CHANGEABLE",
    "check_same_run",
    "final_sigma",
    "flatten",
    "likelihood_sigmas",
    "restores_photographs",
    "validate",
]

# Settings, and groups of settings, that do not change what is trained.
CHANGEABLE = (
    "checkpoint",
    "guidance",
    "sampling.",
    "restoration.",
    "evaluation.",
    "likelihood.",
    "export.",
    "data.path",
    "data.data_dir",
    "data.cache",
    "data.allow_other_images",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.guide_step",
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
    "training.memory_growth",
    "training.max_rollbacks",
)

# Sources of images that read a folder or a file.
_SOURCES_WITH_PATH = ("idx", "npz", "folder")

# Sources whose images can be larger than those of the model.
_SOURCES_OF_PATCHES = ("folder", "npz", "photographs")

# Tasks of restoration that depend on one size: "all" names those that fit it.
_NO_TASKS_OF_PHOTOGRAPHS = ("all", "compressive_sensing")

_TYPE_NAMES = {int: "an integer", float: "a finite number", bool: "true or false", str: "text"}


def validate(config: ConfigDict) -> ConfigDict:
    """Returns `config` if all its settings are allowed, each by itself and all together.

    Raises:
        InvalidArgument: for the first setting that is not.
    """
    _check_types(config)
    for field, value in flatten(config).items():
        requirement = unmet_requirement(field, value)
        if requirement:
            _refuse(config, field, requirement)
    _check_data(config)
    _check_noise(config)
    _check_network(config)
    _check_optimizer(config)
    _check_denoiser_steps(config)
    _check_guide(config)
    _check_sampling(config)
    _check_restoration(config)
    _check_evaluation(config)
    _check_likelihood(config)
    return config


def check_same_run(config: ConfigDict, saved: ConfigDict) -> None:
    """Refuses to resume a run with settings that change what is trained.

    `training.num_steps` may change if the learning rate does not depend on it.

    Args:
        config: the settings of this call.
        saved: the settings that the run was started with.

    Raises:
        InvalidArgument: for the first setting that differs and may not.
    """
    changeable = CHANGEABLE
    if config.optimizer.schedule == "constant":
        changeable += ("training.num_steps",)
    saved_values = flatten(saved)
    for field, value in flatten(config).items():
        if value != saved_values[field] and not field.startswith(changeable):
            requirement = (
                f"stay {saved_values[field]!r}, as this --workdir was made with it "
                "(or choose another --workdir)"
            )
            raise InvalidArgument(f"config.{field}", requirement, repr(value))


# Samplers that end this many times below the smallest trained noise level by default: measured to
# be better (docs/results/samplers.md). Others end at that level.
_TIMES_BELOW_TRAINED = {"heun": 10, "multistep": 2}


def final_sigma(config: ConfigDict) -> float:
    """The noise level at which sampling ends, for samplers other than annealed Langevin dynamics.

    The default may lie below the smallest trained level. The denoiser is not given the noise level,
    so it still removes the noise that it sees there.
    """
    sampling = config.sampling
    times = _TIMES_BELOW_TRAINED.get(sampling.sampler, 1)
    return sampling.sigma_min or config.noise.sigma_min / times


def likelihood_sigmas(config: ConfigDict) -> tuple[float, float]:
    """The largest and the smallest noise level of the bounds of likelihood."""
    first = config.sampling.sigma_max or config.noise.sigma_max
    return first, config.likelihood.sigma_min or config.noise.sigma_min


def flatten(config: ConfigDict, prefix: str = "") -> dict[str, object]:
    """All settings by their names with dots: `{"noise.sigma_min": 0.05, …}`."""
    flat: dict[str, object] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _refuse(config: ConfigDict, field: str, requirement: str) -> NoReturn:
    """Raises InvalidArgument about a setting and its value."""
    raise InvalidArgument(f"config.{field}", requirement, flatten(config)[field])


def _check_types(config: ConfigDict) -> None:
    """Every setting is present, none is unknown, and each has the type of its default."""
    defaults, given = flatten(default_config()), flatten(config)
    for field in defaults.keys() - given.keys():
        raise InvalidArgument(f"config.{field}", "be present", "nothing")
    for field, value in given.items():
        if field not in defaults:
            raise InvalidArgument(f"config.{field}", "be a known setting", value)
        if not _has_type(value, type(defaults[field])):
            type_name = _TYPE_NAMES[type(defaults[field])]
            raise InvalidArgument(f"config.{field}", f"be {type_name}", value)


def _has_type(value: Any, expected: type) -> bool:
    """Whether a value has the type; for a number, integers are right too, and it must be finite."""
    if expected is not float:
        return type(value) is expected
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _check_data(config: ConfigDict) -> None:
    source = config.data.source
    if source in _SOURCES_WITH_PATH and not config.data.path:
        _refuse(config, "data.path", f"be given for source {source}")
    if not config.data.patches:
        if source == "photographs":
            _refuse(config, "data.patches", "be true for source photographs, of several sizes")
        return
    if source not in _SOURCES_OF_PATCHES:
        names = ", ".join(_SOURCES_OF_PATCHES)
        _refuse(config, "data.source", f"be one of {names} for config.data.patches")
    if config.data.crop:
        _refuse(config, "data.crop", "be 0 for config.data.patches, which are cut anywhere")


def _check_noise(config: ConfigDict) -> None:
    noise = config.noise
    low, high = noise.sigma_min, noise.sigma_max
    if noise.num_levels == 1 and low != high:
        _refuse(config, "noise.num_levels", "exceed 1 unless sigma_min equals sigma_max")
    if noise.num_levels > 1 and high <= low:
        _refuse(config, "noise.sigma_max", f"exceed config.noise.sigma_min ({low})")
    if noise.spacing == "log_normal" and not low <= noise.median <= high:
        _refuse(config, "noise.median", f"lie in [{low}, {high}], the range of the noise levels")


def _check_network(config: ConfigDict) -> None:
    name = config.network.name
    heads = heads_of(name)
    if config.network.head not in heads:
        _refuse(config, "network.head", f"be one of {', '.join(heads)} for network {name}")
    if not config.data.patches:
        return
    if name != "unet":
        _refuse(config, "network.name", "be unet for data.patches, as only it takes any size")
    if config.network.unet.attention_size:
        requirement = "be 0 for data.patches, as attention depends on the size"
        _refuse(config, "network.unet.attention_size", requirement)


def _check_optimizer(config: ConfigDict) -> None:
    optimizer = config.optimizer
    rate = optimizer.learning_rate
    if optimizer.schedule == "cosine" and optimizer.final_learning_rate > rate:
        _refuse(config, "optimizer.final_learning_rate", f"not exceed the learning_rate ({rate})")


def _check_denoiser_steps(config: ConfigDict) -> None:
    training, head = config.training, config.network.head
    if not training.denoiser_steps:
        return
    if head not in HEADS_WITH_ONE_GUESS:
        heads = " or ".join(HEADS_WITH_ONE_GUESS)
        _refuse(config, "training.denoiser_steps", f"be 0 for other heads than {heads} (is {head})")
    if not trains_denoiser(config.noise.weighting):
        _refuse(config, "training.denoiser_steps", f"be 0, as {_no_denoiser(config)}")
    if training.denoiser_steps >= training.num_steps:
        steps = f"be less than config.training.num_steps ({training.num_steps})"
        _refuse(config, "training.denoiser_steps", steps)


def _check_guide(config: ConfigDict) -> None:
    sampling = config.sampling
    if config.guidance != 1 and config.export.format == "torch":
        _refuse(config, "guidance", "be 1 for export.format=torch, the weights of one network")
    if not sampling.guide_sigma_max:
        if config.guidance != 1 and sampling.guide_sigma_min:
            everywhere = "be 0 without config.sampling.guide_sigma_max: the guide acts everywhere"
            _refuse(config, "sampling.guide_sigma_min", everywhere)
        return
    if sampling.guide_sigma_min > sampling.guide_sigma_max:
        at_most = f"not exceed config.sampling.guide_sigma_max ({sampling.guide_sigma_max})"
        _refuse(config, "sampling.guide_sigma_min", at_most)
    if config.guidance != 1 and sampling.sampler == "coarse_to_fine":
        requirement = "be 0 for coarse_to_fine, as its images have noise levels of their own"
        _refuse(config, "sampling.guide_sigma_max", requirement)


def _check_sampling(config: ConfigDict) -> None:
    noise, sampling = config.noise, config.sampling
    if sampling.image_size not in (0, config.data.image_size):
        if not config.data.patches:
            requirement = f"be 0 or {config.data.image_size}, the network's size, or any"
            _refuse(config, "sampling.image_size", f"{requirement} with data.patches")
        if sampling.start in ("gaussian", "mixture"):
            size = config.data.image_size
            requirement = (
                f"be isotropic, smooth or images for another size than the patches' ({size})"
            )
            _refuse(config, "sampling.start", requirement)
    if sampling.start == "images" and not sampling.start_images:
        _refuse(config, "sampling.start_images", "name a file for sampling.start=images")
    if sampling.sampler == "annealed_langevin":
        if sampling.hot_steps + sampling.cooling_steps + sampling.final_steps == 0:
            _refuse(config, "sampling.hot_steps", "leave the sampler at least one step")
        return
    if not trains_denoiser(noise.weighting):
        requirement = f"be annealed_langevin, as {_no_denoiser(config)}"
        _refuse(config, "sampling.sampler", requirement)
    first, last = sampling.sigma_max or noise.sigma_max, final_sigma(config)
    if first <= last:
        requirement = (
            f"exceed the noise level where sampling ends ({last}); 0 stands for {noise.sigma_max}"
        )
        _refuse(config, "sampling.sigma_max", requirement)


def _no_denoiser(config: ConfigDict) -> str:
    """Why something is refused that uses the denoiser."""
    return f'noise.weighting="{config.noise.weighting}" trains no denoiser'


def _check_likelihood(config: ConfigDict) -> None:
    likelihood = config.likelihood
    has_levels = likelihood.method != "ais"
    if has_levels and not trains_denoiser(config.noise.weighting):
        _refuse(config, "likelihood.method", f"be ais, as {_no_denoiser(config)}")
    first, last = likelihood_sigmas(config)
    # `--mode=evaluate` tells outliers by a bound with this level, whatever the method is.
    if (has_levels or likelihood.sigma_min) and not last < first:
        requirement = f"lie below the noise level where sampling starts ({first})"
        _refuse(config, "likelihood.sigma_min", requirement)


def _check_restoration(config: ConfigDict) -> None:
    if config.restoration.task == "denoise" and not trains_denoiser(config.noise.weighting):
        _refuse(config, "restoration.task", f"not be denoise, as {_no_denoiser(config)}")
    if config.restoration.task == "inpaint_mask" and not config.restoration.mask:
        _refuse(config, "restoration.mask", "name a file for task inpaint_mask")
    if not restores_photographs(config):
        return
    if config.restoration.task in _NO_TASKS_OF_PHOTOGRAPHS:
        _refuse(config, "restoration.task", "name another task for photographs")
    if config.restoration.start not in ("isotropic", "smooth"):
        requirement = "be isotropic or smooth for photographs, which have any size"
        _refuse(config, "restoration.start", requirement)


def restores_photographs(config: ConfigDict) -> bool:
    """Whether `--mode=restore` restores photographs of any size: pictures, by a run on patches."""
    images = config.restoration.images
    return config.data.patches and bool(images) and not images.endswith((".npy", ".npz"))


def _check_evaluation(config: ConfigDict) -> None:
    names = config.evaluation.parts.split(",")
    if "denoising" in names and not trains_denoiser(config.noise.weighting):
        _refuse(config, "evaluation.parts", f"not name denoising, as {_no_denoiser(config)}")
    source = config.evaluation.foreign.source
    if source in _SOURCES_WITH_PATH and not config.evaluation.foreign.path:
        _refuse(config, "evaluation.foreign.path", f"be given for source {source}")
    if config.training.evaluate_every and config.evaluation.features == "none":
        requirement = "name features, not none, for config.training.evaluate_every"
        _refuse(config, "evaluation.features", requirement)
