"""Every setting of a run, with its meaning, its default and its valid range.

A recipe in `configs/` starts from `default_config()` and overrides. Nothing here
imports TensorFlow: wrong settings are refused at once.
"""

import json
import math
import os
from collections.abc import Callable

from ml_collections import ConfigDict

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.files import written_whole

__all__ = [
    "check_same_run",
    "default_config",
    "get_config",
    "load_config",
    "save_config",
    "validate",
]

CHOICES = {
    "data.source": ("tfds", "digits", "idx", "npz", "folder", "synthetic"),
    "noise.spacing": ("linear", "geometric"),
    "noise.weighting": ("inverse_square", "constant", "score"),
    "network.name": ("res6", "res12", "res18", "res34", "dense"),
    "network.head": ("quadratic", "linear"),
    "optimizer.schedule": ("cosine", "constant"),
    "training.precision": ("float32", "mixed_bfloat16"),
    "training.strategy": ("mirrored", "one_device"),
    "training.jit_compile": ("auto", "on", "off"),
    "sampling.sampler": ("annealed_langevin",),
    "sampling.cooling": ("exponential", "linear"),
}

# What a continued run may change: nothing in these changes what is trained.
_FREE_FIELDS = (
    "sampling.",
    "data.path",
    "data.data_dir",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.log_every",
    "training.validate_every",
    "training.validation_images",
    "training.sample_every",
    "training.preview_images",
    "training.steps_per_call",
    "training.strategy",
    "training.jit_compile",
)


def default_config() -> ConfigDict:
    """All settings at their defaults: the paper's where it has one (MDSM, section 4)."""
    config = ConfigDict()

    # Initial weights, order of the images, noise and flips all follow from it.
    config.seed = 0

    config.data = ConfigDict()
    # Where images come from: see `CHOICES` and WORKSPACE.md.
    config.data.source = "tfds"
    # Data set of `tfds` ("cifar10", "celeb_a", …) or of `synthetic` ("mixture", "blobs").
    config.data.name = "cifar10"
    # The folder (`idx`, `folder`) or file (`npz`) that holds the images.
    config.data.path = ""
    # Where TFDS keeps prepared data; empty: its own default.
    config.data.data_dir = ""
    # The split to train on, and the one that is only looked at (`tfds`, `idx`).
    config.data.split = "train"
    config.data.held_out_split = "test"
    # Share of the images held out where the source has no splits of its own.
    config.data.held_out_fraction = 0.1
    # Side of the square images, in pixels: smaller ones are zero-padded, larger ones cropped
    # to their central square and resized.
    config.data.image_size = 32
    # Side of the central square that is cut out before resizing; 0: the largest one.
    config.data.crop = 0
    # 1: grey, 3: colour; images of the other kind are converted.
    config.data.channels = 3
    # Flip every other image, at random, left to right.
    config.data.flip = False

    config.noise = ConfigDict()
    # Noise levels: standard deviations in pixel units, from sigma_min to sigma_max.
    config.noise.sigma_min = 0.05
    config.noise.sigma_max = 1.2
    config.noise.num_levels = 128
    # "linear" or "geometric" distances between neighbouring levels.
    config.noise.spacing = "linear"
    # Width of the kernel in whose score the residual is written; fixed over all levels.
    config.noise.sigma0 = 0.1
    # l(sigma): "inverse_square" (paper), "constant", or "score" (regression of the score
    # itself, whose optimum is exactly a density: the noisy data's, levels mixed by sigma^2).
    config.noise.weighting = "inverse_square"

    config.network = ConfigDict()
    # res6, res12, res18, res34: the paper's ResNets; dense: a small net for points in the plane.
    config.network.name = "res18"
    # Channels of the first convolution; every stage doubles them. Width of `dense`.
    config.network.channels = 128
    # How the scalar is made of the last features.
    config.network.head = "quadratic"

    config.optimizer = ConfigDict()
    # Learning rate of Adam at the first step …
    config.optimizer.learning_rate = 5e-5
    # … and at the last one, when the schedule is "cosine".
    config.optimizer.final_learning_rate = 1e-6
    config.optimizer.schedule = "cosine"
    config.optimizer.beta_1 = 0.9
    config.optimizer.beta_2 = 0.95
    # Adam's epsilon, against gradients of the loss in units of 1/sigma0^4.
    config.optimizer.epsilon = 1e-8
    # Momentum of the averaged weights that every use after training reads; 0: no averages.
    config.optimizer.ema_momentum = 0.0

    config.training = ConfigDict()
    # Images of one update, over all replicas together.
    config.training.batch_size = 128
    # Updates of the whole run.
    config.training.num_steps = 300_000
    # Updates that run on the device without a look from outside (at most).
    config.training.steps_per_call = 10
    # An interval in updates; 0 means never, except that the last step is always saved.
    config.training.checkpoint_every = 5_000
    # Checkpoints kept: the newest ones.
    config.training.keep_checkpoints = 3
    # Scalars to TensorBoard: means over the interval.
    config.training.log_every = 100
    # Held-out loss, energies and the denoising strip to TensorBoard.
    config.training.validate_every = 2_500
    # Held-out images used for it (at most).
    config.training.validation_images = 512
    # A grid of samples to TensorBoard and samples/.
    config.training.sample_every = 25_000
    # Images in that grid.
    config.training.preview_images = 16
    # float32, or convolutions in bfloat16 with weights, head and loss in float32.
    config.training.precision = "float32"
    # mirrored: all GPUs of this machine, or its CPU; one_device: the first of them.
    config.training.strategy = "mirrored"
    # XLA for the gradients; "auto": on GPUs only, where it pays.
    config.training.jit_compile = "auto"

    config.sampling = ConfigDict()
    config.sampling.sampler = "annealed_langevin"
    config.sampling.num_samples = 64
    # Images drawn at a time.
    config.sampling.batch_size = 64
    # Image n is drawn with seed `seed + n`.
    config.sampling.seed = 0
    # epsilon of the Langevin step: x - epsilon^2/2 dE/dx + epsilon sqrt(T) N(0, I).
    config.sampling.step_size = 0.02
    # Temperature of the first steps, its fall to 1, and the fall to 0 at the end.
    config.sampling.initial_temperature = 100.0
    config.sampling.hot_steps = 500
    config.sampling.cooling_steps = 2_000
    config.sampling.final_steps = 200
    # How the temperature falls from the initial one to 1: "exponential" or "linear".
    config.sampling.cooling = "exponential"
    # Steps between the states of the chain that are shown.
    config.sampling.show_every = 100

    return config.lock()


def validate(config: ConfigDict) -> ConfigDict:
    """Returns `config` if every value and every pair of values makes sense.

    Raises:
        InvalidArgument: for the first field that does not.
    """
    _check_types(config, default_config())
    for field, choices in CHOICES.items():
        _require(config, field, f"be one of {', '.join(choices)}", lambda v, c=choices: v in c)
    for fields, requirement, holds in _RANGES:
        for field in fields.split():
            _require(config, field, requirement, holds)
    noise = config.noise
    levels = "noise.num_levels"
    if noise.num_levels == 1:
        same = noise.sigma_min == noise.sigma_max
        _require(config, levels, "exceed 1 unless sigma_min equals sigma_max", lambda _: same)
    else:
        above = f"exceed config.noise.sigma_min ({noise.sigma_min})"
        _require(config, "noise.sigma_max", above, lambda v: v > noise.sigma_min)
    if config.data.source in ("idx", "npz", "folder"):
        _require(config, "data.path", f"be given for source {config.data.source}", bool)
    rate = config.optimizer.learning_rate
    final = "optimizer.final_learning_rate"
    _require(config, final, f"not exceed the learning_rate ({rate})", lambda v: v <= rate)
    return config


_RANGES: tuple[tuple[str, str, Callable], ...] = (
    ("seed sampling.seed", "lie in [0, 2^62]", lambda v: 0 <= v <= 2**62),
    ("data.image_size", "lie in [1, 1024]", lambda v: 1 <= v <= 1024),
    ("data.channels", "be 1, 2 (points) or 3", lambda v: v in (1, 2, 3)),
    ("data.crop", "lie in [0, 65536]", lambda v: 0 <= v <= 65_536),
    ("data.split data.held_out_split", "name a split", bool),
    ("data.held_out_fraction", "lie in (0, 1)", lambda v: 0 < v < 1),
    ("noise.sigma_min noise.sigma_max", "lie in (0, 1000]", lambda v: 0 < v <= 1000),
    ("noise.sigma0", "lie in (0, 1000]", lambda v: 0 < v <= 1000),
    ("noise.num_levels", "lie in [1, 65536]", lambda v: 1 <= v <= 65_536),
    ("network.channels", "lie in [1, 4096]", lambda v: 1 <= v <= 4096),
    ("optimizer.learning_rate", "lie in (0, 10]", lambda v: 0 < v <= 10),
    ("optimizer.final_learning_rate", "not be negative", lambda v: v >= 0),
    ("optimizer.beta_1 optimizer.beta_2", "lie in [0, 1)", lambda v: 0 <= v < 1),
    ("optimizer.epsilon", "be positive", lambda v: v > 0),
    ("optimizer.ema_momentum", "lie in [0, 1)", lambda v: 0 <= v < 1),
    ("training.batch_size", "lie in [1, 1048576]", lambda v: 1 <= v <= 2**20),
    ("training.num_steps", "lie in [1, 2147483647]", lambda v: 1 <= v < 2**31),
    ("training.steps_per_call", "lie in [1, 10000]", lambda v: 1 <= v <= 10_000),
    (
        "training.checkpoint_every training.log_every training.validate_every"
        " training.sample_every",
        "not be negative (0 means never)",
        lambda v: v >= 0,
    ),
    ("training.keep_checkpoints training.validation_images", "be positive", lambda v: v > 0),
    ("training.preview_images", "lie in [1, 1024]", lambda v: 1 <= v <= 1024),
    ("sampling.num_samples", "lie in [1, 10000000]", lambda v: 1 <= v <= 10**7),
    ("sampling.batch_size", "lie in [1, 65536]", lambda v: 1 <= v <= 65_536),
    ("sampling.step_size", "lie in (0, 10]", lambda v: 0 < v <= 10),
    ("sampling.initial_temperature", "lie in [1, 1e12]", lambda v: 1 <= v <= 1e12),
    (
        "sampling.hot_steps sampling.cooling_steps sampling.final_steps",
        "lie in [0, 10000000]",
        lambda v: 0 <= v <= 10**7,
    ),
    ("sampling.show_every", "be positive", lambda v: v > 0),
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


def get_config(workdir: str) -> ConfigDict:
    """The configuration that a run was made with: `--config=…/config.py:WORKDIR`."""
    return load_config(os.path.join(workdir, "config.json"))


def load_config(path: str) -> ConfigDict:
    """Reads a run's `config.json` back.

    Raises:
        InvalidArgument: if there is none, or it holds something else.
    """
    config = default_config()
    try:
        with open(path, encoding="utf-8") as file:
            config.update(json.load(file))
    except OSError as error:
        raise InvalidArgument("--workdir", "hold a run's config.json", path) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument(
            "--workdir", f"hold a valid config.json ({' '.join(str(error).split())})", path
        ) from error
    return config


def save_config(config: ConfigDict, path: str) -> None:
    """Writes the resolved configuration as JSON, whole or not at all."""
    with written_whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(config.to_dict(), file, indent=2)
        file.write("\n")


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
