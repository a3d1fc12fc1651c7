"""Sampling in one call: a target, a method, seeds in; images out."""

import functools
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.base import Method, Target, require_method, require_target
from tf_mdsm.samplers.chain import Chain, checked_seeds, compile_chain, require_finite
from tf_mdsm.samplers.guided import Guided, GuidedTarget
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.samplers.sized import SizedTarget, sized
from tf_mdsm.samplers.values import whole_number
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.weightings import trains_denoiser

__all__ = ["checked_method", "default_method", "sample", "trained_noise", "warn_beyond_training"]

# Heun's method ends at this share of the smallest trained level, which was measured to be better
# (docs/results/samplers.md). Ending below it is taken for a mistake.
_END_SHARE = 0.1


def sample(
    target: Target,
    method: Method | None = None,
    *,
    seeds: Sequence[int] | np.ndarray,
    image_size: int | Sequence[int] | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Samples one image for each seed.

    An image depends on the target, the method and its own seed only; in a batch of another size it
    may differ by rounding. A target whose state is in variables, a Keras model or `tf.Module`, is
    compiled once for each method; the last few are kept. Any other target is compiled at each call.

    Args:
        target: what is sampled, an `EnergyModel` for example.
        method: how. None: `default_method(target)`.
        seeds: integers in [0, 2^63), all different: a range, a list, an array.
        image_size: height and width, or one number for both, for a target of images of any size.
            None: the target's own.
        batch_size: number of images that are sampled at the same time.

    Returns:
        images, not clipped to [0, 1], float32 [N, H, W, C].

    Raises:
        InvalidArgument: for seeds, a target, a size or a method that cannot be used.
        RunError: if an energy is not finite; the message names the step.

    Warns:
        UserWarning: if the target was not trained for the method's noise levels.
    """
    require_target(target)
    has_variables = _has_variables(target)
    target = sized(target, image_size)
    method = checked_method(target, method)
    checked = checked_seeds(seeds)
    whole_number("batch_size", batch_size)
    warn_beyond_training(target, method, stacklevel=3)
    draw = _compiled_once(target, method) if has_variables else _compiled(target, method)

    def sample_batch(seeds: np.ndarray) -> np.ndarray:
        chain = draw(seeds, kept_chains=0)
        require_finite(chain)
        return chain.images

    return batchwise(sample_batch, checked, batch_size=batch_size)


def default_method(target: Target) -> Heun:
    """Heun's method with 9 gradient evaluations, over a target's trained noise levels.

    It was the best that was measured at few gradient evaluations without mixture and guide;
    `config.sampling` has the same default (docs/results/samplers.md). A run adds a Gaussian start
    to it.

    Raises:
        InvalidArgument: for a target without noise levels.
    """
    noise = trained_noise(target)
    return Heun(falling_sigmas(noise.sigma_max, _END_SHARE * noise.sigma_min, num_levels=5))


def trained_noise(target: Target) -> NoiseLevels:
    """The noise levels that a target was trained for, its attribute `noise`.

    Raises:
        InvalidArgument: for a target without noise levels.
    """
    noise = getattr(target, "noise", None)
    if not isinstance(noise, NoiseLevels):
        requirement = "be given for a target that has no attribute noise, a NoiseLevels"
        raise InvalidArgument("method", requirement, None)
    return noise


def checked_method(target: Target, method: Method | None) -> Method:
    """The method, or `default_method(target)` for None.

    Raises:
        InvalidArgument: for what is no method; and for another method than `AnnealedLangevin` if
            the target was trained with a weighting that trains no denoiser, or for one that ends
            with a denoising step. The command line has the same rule, and leaves that step out.
    """
    method = method or default_method(target)
    require_method(method)
    noise = getattr(target, "noise", None)
    if not isinstance(noise, NoiseLevels) or trains_denoiser(noise.weighting):
        return method
    reason = f'as the weighting "{noise.weighting}" trains no denoiser'
    of_steps = method.method if isinstance(method, Guided) else method
    if not isinstance(of_steps, AnnealedLangevin):
        raise InvalidArgument("method", f"be AnnealedLangevin, {reason}", type(of_steps).__name__)
    if of_steps.denoise:
        raise InvalidArgument("method", f"have denoise=False, {reason}", "denoise=True")
    return method


def warn_beyond_training(target: Target, method: Method, *, stacklevel: int) -> None:
    """Warns if a target was not trained for a method's noise levels.

    Nothing is known of a target without noise levels. Ending at a tenth of the smallest trained
    level is usual, and so is cooling to temperature 0.

    Args:
        target: what is sampled.
        method: how.
        stacklevel: as for `warnings.warn`; 2 is the caller.
    """
    noise = getattr(target, "noise", None)
    if not isinstance(noise, NoiseLevels):
        return
    last, first = method.sigma_range(target)
    is_below = 0 < last < _END_SHARE * noise.sigma_min * (1 - 1e-4)
    if is_below or first > noise.sigma_max * (1 + 1e-4):
        warnings.warn(
            f"the method goes through noise levels {last:.3g} to {first:.3g}, but the model was "
            f"trained for {noise.sigma_min:.3g} to {noise.sigma_max:.3g}",
            stacklevel=stacklevel,
        )


def _has_variables(target: Target) -> bool:
    """Whether the state of a target is in variables, so that a compiled chain sees its changes."""
    if isinstance(target, SizedTarget):
        return _has_variables(target.target)
    if isinstance(target, GuidedTarget):
        return _has_variables(target.target) and _has_variables(target.guide)
    return isinstance(target, keras.Model | tf.Module)


def _compiled(target: Target, method: Method) -> Callable[..., Chain]:
    """The compiled chain, in one part."""
    return compile_chain(target, method, show_every=method.num_steps)


_compiled_once = functools.lru_cache(maxsize=4)(_compiled)
