"""What each setting may be, by itself."""

from collections.abc import Callable

from tf_mdsm.networks.architectures import DENOISER_HEADS, FEATURE_HEADS, NETWORKS

__all__ = ["CHOICES", "RANGES"]

_SOURCES = ("tfds", "digits", "idx", "npz", "folder", "synthetic")
_SAMPLERS = ("annealed_langevin", "heun", "ancestral", "coarse_to_fine", "mala", "hmc")
_STARTS = ("isotropic", "gaussian", "images")

_PARTS = ("quality", "memorisation", "energies", "outliers", "denoising")


def _names_parts(parts: str) -> bool:
    return parts == "all" or set(parts.split(",")) <= set(_PARTS)


CHOICES = {
    "checkpoint": ("newest", "best"),
    "data.source": _SOURCES,
    "noise.spacing": ("linear", "geometric", "log_normal"),
    "noise.weighting": ("inverse_square", "constant", "score", "edm"),
    "network.name": NETWORKS,
    "network.head": (*FEATURE_HEADS, *DENOISER_HEADS),
    "optimizer.schedule": ("cosine", "constant"),
    "training.precision": ("float32", "mixed_bfloat16"),
    "training.strategy": ("mirrored", "one_device", "multi_worker_mirrored", "tpu"),
    "training.cluster": ("tf_config", "slurm", "kubernetes"),
    "training.jit_compile": ("auto", "on", "off"),
    "sampling.sampler": _SAMPLERS,
    "restoration.sampler": _SAMPLERS,
    "restoration.task": (
        *("inpaint_box", "inpaint_half", "inpaint_random", "inpaint_mask"),
        *("super_resolution_2", "super_resolution_4", "deblur", "compressive_sensing"),
        *("denoise", "colorize", "all"),
    ),
    "evaluation.features": ("classifier", "inception", "none"),
    "evaluation.reference": ("train", "held_out"),
    "evaluation.foreign.source": ("", *_SOURCES),
    "sampling.extra_files": ("none", "png", "arr_0"),
    "sampling.cooling": ("exponential", "linear"),
    "sampling.start": _STARTS,
    "restoration.start": _STARTS,
    "likelihood.reference": ("gaussian", "isotropic"),
    "export.format": ("saved_model", "torch"),
}

RANGES: tuple[tuple[str, str, Callable], ...] = (
    (
        "seed sampling.seed restoration.seed evaluation.seed likelihood.seed",
        "lie in [0, 2^62]",
        lambda v: 0 <= v <= 2**62,
    ),
    ("data.image_size", "lie in [1, 1024]", lambda v: 1 <= v <= 1024),
    ("data.channels", "be 1, 2 (points) or 3", lambda v: v in (1, 2, 3)),
    ("data.crop", "lie in [0, 65536]", lambda v: 0 <= v <= 65_536),
    ("data.split data.held_out_split", "name a split", bool),
    ("data.held_out_fraction", "lie in (0, 1)", lambda v: 0 < v < 1),
    ("noise.sigma_min noise.sigma_max", "lie in (0, 1000]", lambda v: 0 < v <= 1000),
    ("noise.sigma0 noise.median", "lie in (0, 1000]", lambda v: 0 < v <= 1000),
    ("noise.log_std noise.sigma_data", "lie in [0.001, 100]", lambda v: 0.001 <= v <= 100),
    ("noise.num_levels", "lie in [1, 65536]", lambda v: 1 <= v <= 65_536),
    ("network.channels", "lie in [1, 4096]", lambda v: 1 <= v <= 4096),
    ("network.unet.patch_size", "lie in [1, 64]", lambda v: 1 <= v <= 64),
    ("network.unet.num_resolutions", "lie in [1, 10]", lambda v: 1 <= v <= 10),
    ("network.unet.num_blocks", "lie in [1, 64]", lambda v: 1 <= v <= 64),
    ("network.unet.attention_size", "lie in [0, 256]", lambda v: 0 <= v <= 256),
    ("optimizer.learning_rate", "lie in (0, 10]", lambda v: 0 < v <= 10),
    ("optimizer.final_learning_rate", "lie in [0, 10]", lambda v: 0 <= v <= 10),
    ("optimizer.warmup_steps", "lie in [0, 2147483647]", lambda v: 0 <= v < 2**31),
    ("optimizer.clip_norm", "lie in [0, 1e30] (0: never)", lambda v: 0 <= v <= 1e30),
    ("optimizer.beta_1 optimizer.beta_2", "lie in [0, 1)", lambda v: 0 <= v < 1),
    ("optimizer.epsilon", "lie in (0, 1e30]", lambda v: 0 < v <= 1e30),
    ("optimizer.ema_momentum", "lie in [0, 1)", lambda v: 0 <= v < 1),
    ("training.batch_size", "lie in [1, 1048576]", lambda v: 1 <= v <= 2**20),
    ("training.accumulation_steps", "lie in [1, 1048576]", lambda v: 1 <= v <= 2**20),
    ("training.num_steps", "lie in [1, 2147483647]", lambda v: 1 <= v < 2**31),
    ("training.steps_per_call", "lie in [1, 10000]", lambda v: 1 <= v <= 10_000),
    (
        "training.checkpoint_every training.log_every training.validate_every"
        " training.sample_every training.evaluate_every",
        "lie in [0, 2147483647] (0 means never)",
        lambda v: 0 <= v < 2**31,
    ),
    (
        "training.keep_checkpoints training.validation_images",
        "lie in [1, 2147483647]",
        lambda v: 1 <= v < 2**31,
    ),
    ("training.max_rollbacks", "lie in [0, 1000]", lambda v: 0 <= v <= 1000),
    ("training.rollback_rate", "lie in (0, 1]", lambda v: 0 < v <= 1),
    ("training.evaluation_samples", "lie in [2, 1000000]", lambda v: 2 <= v <= 10**6),
    ("training.preview_images", "lie in [1, 1024]", lambda v: 1 <= v <= 1024),
    ("sampling.num_samples", "lie in [1, 10000000]", lambda v: 1 <= v <= 10**7),
    ("sampling.batch_size likelihood.batch_size", "lie in [1, 65536]", lambda v: 1 <= v <= 65_536),
    ("sampling.step_size", "lie in (0, 10]", lambda v: 0 < v <= 10),
    ("sampling.initial_temperature", "lie in [1, 1e12]", lambda v: 1 <= v <= 1e12),
    (
        "sampling.hot_steps sampling.cooling_steps sampling.final_steps",
        "lie in [0, 10000000]",
        lambda v: 0 <= v <= 10**7,
    ),
    (
        "sampling.sigma_max sampling.sigma_min",
        "lie in [0, 1000] (0: the trained one)",
        lambda v: 0 <= v <= 1000,
    ),
    ("sampling.num_levels", "lie in [2, 65536]", lambda v: 2 <= v <= 65_536),
    ("sampling.rho", "lie in [1, 100]", lambda v: 1 <= v <= 100),
    ("sampling.churn", "lie in [0, 65536]", lambda v: 0 <= v <= 65_536),
    ("sampling.h0 sampling.beta restoration.beta", "lie in (0, 1]", lambda v: 0 < v <= 1),
    (
        "sampling.moves sampling.leapfrog_steps likelihood.moves likelihood.leapfrog_steps",
        "lie in [1, 10000]",
        lambda v: 1 <= v <= 10_000,
    ),
    ("sampling.step_share", "lie in (0, 10]", lambda v: 0 < v <= 10),
    ("sampling.max_steps restoration.max_steps", "lie in [1, 10000000]", lambda v: 1 <= v <= 10**7),
    (
        "sampling.show_every",
        "lie in [0, 2147483647] (0: a 27th of the chain)",
        lambda v: 0 <= v < 2**31,
    ),
    ("restoration.num_images", "lie in [1, 1000000]", lambda v: 1 <= v <= 10**6),
    ("restoration.num_solutions", "lie in [1, 1000]", lambda v: 1 <= v <= 1000),
    ("restoration.hole restoration.known_share", "lie in (0, 1)", lambda v: 0 < v < 1),
    ("restoration.cutoff", "lie in (0, 0.7]", lambda v: 0 < v <= 0.7),
    ("restoration.noise", "lie in (0, 1000]", lambda v: 0 < v <= 1000),
    ("likelihood.reference_sigma", "lie in [0, 1000]", lambda v: 0 <= v <= 1000),
    ("likelihood.temperature", "lie in (0, 1e12]", lambda v: 0 < v <= 1e12),
    (
        "likelihood.num_chains likelihood.pilot_chains likelihood.rest_rounds",
        "lie in [2, 1000000]",
        lambda v: 2 <= v <= 10**6,
    ),
    ("likelihood.num_temperatures", "lie in [1, 1000000]", lambda v: 1 <= v <= 10**6),
    ("likelihood.pilot_temperatures", "lie in [3, 10000]", lambda v: 3 <= v <= 10_000),
    ("likelihood.pilot_rounds", "lie in [2, 10000]", lambda v: 2 <= v <= 10_000),
    ("likelihood.acceptance", "lie in (0, 1)", lambda v: 0 < v < 1),
    ("likelihood.num_images", "lie in [2, 10000000]", lambda v: 2 <= v <= 10**7),
    ("likelihood.tolerance", "lie in (0, 1e30]", lambda v: 0 < v <= 1e30),
    ("likelihood.min_effective", "lie in [1, 1e30]", lambda v: 1 <= v <= 1e30),
    ("evaluation.parts", f"be all, or some of {', '.join(_PARTS)}", _names_parts),
    ("evaluation.num_samples", "lie in [10, 10000000]", lambda v: 10 <= v <= 10**7),
    ("evaluation.num_images", "lie in [10, 1000000]", lambda v: 10 <= v <= 10**6),
    ("evaluation.foreign.image_size", "lie in [0, 1024]", lambda v: 0 <= v <= 1024),
    ("export.version", "lie in [0, 2147483647] (0: the next one)", lambda v: 0 <= v < 2**31),
    ("export.max_batch_size", "lie in [1, 65536]", lambda v: 1 <= v <= 65_536),
)
