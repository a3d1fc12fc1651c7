"""The allowed values of each setting by itself: choices, intervals, and a few checks."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from tf_mdsm.networks.architectures import DENOISER_HEADS, FEATURE_HEADS, NETWORKS
from tf_mdsm.system.local_paths import LOCAL_PATH, is_local_path
from tf_mdsm.system.seeds import SEED_RANGE
from tf_mdsm.weightings import WEIGHTINGS

__all__ = ["CHOICES", "INTERVALS", "OTHER_CHECKS", "PATHS", "Interval", "unmet_requirement"]


@dataclasses.dataclass(frozen=True)
class Interval:
    """The numbers between two bounds: the check and the sentence that describes it.

    Args:
        notation: the mathematical notation, "[0, 1)" or "(0, 1e30]": a square bracket includes the
            bound, a round one excludes it. A bound may be a power, "2^62".
        note: the meaning of a special value, "0: never"; part of the sentence.
    """

    notation: str
    note: str = ""

    def __post_init__(self) -> None:
        _parse(self.notation)

    def __contains__(self, value: float) -> bool:
        opening, low, high, closing = _parse(self.notation)
        is_above = value >= low if opening == "[" else value > low
        is_below = value <= high if closing == "]" else value < high
        return is_above and is_below

    @property
    def requirement(self) -> str:
        """What a value must do: "lie in [0, 1000] (0: never)"."""
        return f"lie in {self.notation}" + (f" ({self.note})" if self.note else "")


def _parse(notation: str) -> tuple[str, float, float, str]:
    """Opening bracket, lower bound, upper bound and closing bracket of "[0, 2^62]"."""
    match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", notation)
    if match is None:
        raise ValueError(f"not an interval: {notation}")
    opening, low, high, closing = match.groups()
    return opening, _parse_bound(low), _parse_bound(high), closing


def _parse_bound(text: str) -> float:
    """A bound as an integer where it is one, so that large ones are exact."""
    if "^" in text:
        base, exponent = text.split("^")
        return int(base) ** int(exponent)
    return float(text) if re.search(r"[.e]", text) else int(text)


_SOURCES = ("tfds", "digits", "idx", "npz", "folder", "synthetic")
_SAMPLERS = (
    *("annealed_langevin", "heun", "multistep", "ancestral", "coarse_to_fine"),
    *("mala", "hmc"),
)
_STARTS = ("isotropic", "gaussian", "mixture", "images", "smooth")

CHOICES: dict[str, tuple[str, ...]] = {
    "checkpoint": ("newest", "best", "guide"),
    "data.source": (*_SOURCES, "photographs"),
    "noise.spacing": ("linear", "geometric", "log_normal"),
    "noise.weighting": WEIGHTINGS,
    "network.name": NETWORKS,
    "network.head": (*FEATURE_HEADS, *DENOISER_HEADS),
    "optimizer.schedule": ("cosine", "constant"),
    "training.precision": ("float32", "mixed_bfloat16"),
    "training.strategy": ("mirrored", "one_device", "multi_worker_mirrored", "tpu"),
    "training.cluster": ("tf_config", "slurm", "kubernetes"),
    "training.jit_compile": ("auto", "on", "off"),
    "sampling.sampler": _SAMPLERS,
    "sampling.cooling": ("exponential", "linear"),
    "sampling.start": _STARTS,
    "sampling.extra_files": ("none", "png", "arr_0"),
    "restoration.task": (
        *("inpaint_box", "inpaint_half", "inpaint_random", "inpaint_mask"),
        *("super_resolution_2", "super_resolution_4", "deblur", "compressive_sensing"),
        *("denoise", "colorize", "all"),
    ),
    "restoration.sampler": _SAMPLERS,
    "restoration.start": _STARTS,
    "evaluation.features": ("classifier", "deep_classifier", "inception", "none"),
    "evaluation.reference": ("train", "held_out"),
    "evaluation.foreign.source": ("", *_SOURCES),
    "likelihood.method": ("ais", "bound", "flow", "all"),
    "likelihood.reference": ("gaussian", "mixture", "isotropic"),
    "export.format": ("saved_model", "stablehlo", "torch"),
}

# 2147483647 is the largest int32, in which TensorFlow's loops count.
_EVERY = Interval("[0, 2147483647]", "0 means never")
_SEED = Interval(SEED_RANGE)

INTERVALS: dict[str, Interval] = {
    "seed": _SEED,
    "guidance": Interval("[1, 100]"),
    "data.held_out_fraction": Interval("(0, 1)"),
    "data.image_size": Interval("[1, 1024]"),
    "data.crop": Interval("[0, 65536]"),
    "noise.sigma_min": Interval("(0, 1000]"),
    "noise.sigma_max": Interval("(0, 1000]"),
    "noise.num_levels": Interval("[1, 65536]"),
    "noise.median": Interval("(0, 1000]"),
    "noise.log_std": Interval("[0.001, 100]"),
    "noise.sigma0": Interval("(0, 1000]"),
    "noise.sigma_data": Interval("[0.001, 100]"),
    "network.channels": Interval("[1, 4096]"),
    "network.unet.patch_size": Interval("[1, 64]"),
    "network.unet.num_resolutions": Interval("[1, 10]"),
    "network.unet.num_blocks": Interval("[1, 64]"),
    "network.unet.attention_size": Interval("[0, 256]"),
    "optimizer.learning_rate": Interval("(0, 10]"),
    "optimizer.final_learning_rate": Interval("[0, 10]"),
    "optimizer.warmup_steps": Interval("[0, 2147483647]"),
    "optimizer.clip_norm": Interval("[0, 1e30]", "0: never"),
    "optimizer.beta_1": Interval("[0, 1)"),
    "optimizer.beta_2": Interval("[0, 1)"),
    "optimizer.epsilon": Interval("(0, 1e30]"),
    "optimizer.ema_momentum": Interval("[0, 1)"),
    "training.batch_size": Interval("[1, 1048576]"),
    "training.accumulation_steps": Interval("[1, 1048576]"),
    "training.num_steps": Interval("[1, 2147483647]"),
    "training.denoiser_steps": Interval("[0, 2147483647]"),
    "training.steps_per_call": Interval("[1, 10000]"),
    "training.checkpoint_every": _EVERY,
    "training.keep_checkpoints": Interval("[1, 2147483647]"),
    "training.guide_step": _EVERY,
    "training.log_every": _EVERY,
    "training.validate_every": _EVERY,
    "training.validation_images": Interval("[1, 2147483647]"),
    "training.sample_every": _EVERY,
    "training.preview_images": Interval("[1, 1024]"),
    "training.evaluate_every": _EVERY,
    "training.evaluation_samples": Interval("[2, 1000000]"),
    "training.max_rollbacks": Interval("[0, 1000]"),
    "training.rollback_rate": Interval("(0, 1]"),
    "sampling.num_samples": Interval("[1, 10000000]"),
    "sampling.batch_size": Interval("[1, 65536]"),
    "sampling.seed": _SEED,
    "sampling.image_size": Interval("[0, 8192]", "0: data.image_size"),
    "sampling.step_size": Interval("(0, 10]"),
    "sampling.initial_temperature": Interval("[1, 1e12]"),
    "sampling.hot_steps": Interval("[0, 10000000]"),
    "sampling.cooling_steps": Interval("[0, 10000000]"),
    "sampling.final_steps": Interval("[0, 10000000]"),
    "sampling.sigma_max": Interval("[0, 1000]", "0: noise.sigma_max"),
    "sampling.sigma_min": Interval("[0, 1000]", "0: from noise.sigma_min"),
    "sampling.guide_sigma_max": Interval("[0, 1000]", "0: everywhere"),
    "sampling.guide_sigma_min": Interval("[0, 1000]"),
    "sampling.num_levels": Interval("[2, 65536]"),
    "sampling.rho": Interval("[1, 100]"),
    "sampling.churn": Interval("[0, 65536]"),
    "sampling.h0": Interval("(0, 1]"),
    "sampling.beta": Interval("(0, 1]"),
    "sampling.max_steps": Interval("[1, 10000000]"),
    "sampling.moves": Interval("[1, 10000]"),
    "sampling.step_share": Interval("(0, 10]"),
    "sampling.leapfrog_steps": Interval("[1, 10000]"),
    "sampling.show_every": Interval("[0, 2147483647]", "0: a 27th of all steps"),
    "restoration.sigma_max": Interval("[0, 1000]", "0: sampling.sigma_max"),
    "restoration.h0": Interval("[0, 1]", "0: sampling.h0"),
    "restoration.beta": Interval("(0, 1]"),
    "restoration.max_steps": Interval("[1, 10000000]"),
    "restoration.num_images": Interval("[1, 1000000]"),
    "restoration.num_solutions": Interval("[1, 1000]"),
    "restoration.seed": _SEED,
    "restoration.hole": Interval("(0, 1)"),
    "restoration.known_share": Interval("(0, 1)"),
    "restoration.cutoff": Interval("(0, 0.7]"),
    "restoration.noise": Interval("(0, 1000]"),
    "restoration.memory_gib": Interval("(0, 1e6]"),
    "evaluation.num_samples": Interval("[10, 10000000]"),
    "evaluation.num_images": Interval("[10, 1000000]"),
    "evaluation.seed": _SEED,
    "evaluation.foreign.image_size": Interval("[0, 1024]"),
    "likelihood.sigma_min": Interval("[0, 1000]", "0: noise.sigma_min"),
    "likelihood.num_levels": Interval("[2, 513]"),
    "likelihood.num_probes": Interval("[0, 1000]"),
    "likelihood.flow_tolerance": Interval("[1e-9, 1]"),
    "likelihood.reference_sigma": Interval("[0, 1000]"),
    "likelihood.domain_margin": Interval("[0, 1000]"),
    "likelihood.temperature": Interval("(0, 1e12]"),
    "likelihood.num_chains": Interval("[2, 1000000]"),
    "likelihood.batch_size": Interval("[1, 65536]"),
    "likelihood.num_temperatures": Interval("[1, 1000000]"),
    "likelihood.moves": Interval("[1, 10000]"),
    "likelihood.leapfrog_steps": Interval("[1, 10000]"),
    "likelihood.acceptance": Interval("(0, 1)"),
    "likelihood.pilot_chains": Interval("[2, 1000000]"),
    "likelihood.pilot_temperatures": Interval("[3, 10000]"),
    "likelihood.pilot_rounds": Interval("[2, 10000]"),
    "likelihood.rest_rounds": Interval("[2, 1000000]"),
    "likelihood.num_images": Interval("[2, 10000000]"),
    "likelihood.seed": _SEED,
    "likelihood.tolerance": Interval("(0, 1e30]"),
    "likelihood.min_effective": Interval("[1, 1e30]"),
    "export.version": Interval("[0, 2147483647]", "0: the next one"),
    "export.max_batch_size": Interval("[1, 65536]"),
}

_PARTS = ("quality", "memorisation", "energies", "outliers", "denoising")


def _names_parts(parts: str) -> bool:
    """Whether a text is "all", or names of evaluation parts between commas."""
    return parts == "all" or set(parts.split(",")) <= set(_PARTS)


def _holds_batch_sizes(sizes: str) -> bool:
    """Whether a text is one or more integers in [1, 65536] between commas, all different."""
    numbers = [int(size) if size.isascii() and size.isdecimal() else 0 for size in sizes.split(",")]
    return all(1 <= size <= 65536 for size in numbers) and len(set(numbers)) == len(numbers)


# Files and folders of the user. `data.data_dir` is none of them: TensorFlow Datasets alone opens
# it, and reads buckets as well.
PATHS = (
    "data.path",
    "data.cache",
    "sampling.start_images",
    "restoration.images",
    "likelihood.images",
    "restoration.mask",
    "evaluation.inception_path",
    "evaluation.reference_statistics",
    "evaluation.foreign.path",
)

# What neither a choice nor an interval says: the requirement, and whether a value meets it.
OTHER_CHECKS: dict[str, tuple[str, Callable[..., bool]]] = {
    "data.channels": ("be 1, 2 (points) or 3", (1, 2, 3).__contains__),
    "data.split": ("name a split", bool),
    "data.held_out_split": ("name a split", bool),
    "export.batch_sizes": (
        "be one or more different integers in [1, 65536], between commas",
        _holds_batch_sizes,
    ),
    **dict.fromkeys(PATHS, (LOCAL_PATH, is_local_path)),
    "evaluation.parts": (f"be all, or some of {', '.join(_PARTS)}", _names_parts),
}


def unmet_requirement(field: str, value: Any) -> str | None:
    """What a value must be, "lie in (0, 10]", if it is not; None for an allowed value.

    Args:
        field: the setting, "noise.sigma_min".
        value: a value of the setting's type.
    """
    if field in CHOICES and value not in CHOICES[field]:
        return f"be one of {', '.join(CHOICES[field])}"
    if field in INTERVALS and value not in INTERVALS[field]:
        return INTERVALS[field].requirement
    if field in OTHER_CHECKS:
        requirement, is_met = OTHER_CHECKS[field]
        if not is_met(value):
            return requirement
    if value == "None":  # No file or folder is called so; who types it means none.
        return "be left empty where nothing is meant"
    return None
