"""Compiled sampling runs from seeds to images, which record intermediate states and energies."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.samplers.base import Method, Target, energy_and_score, require_method, require_target
from tf_mdsm.samplers.sized import sized
from tf_mdsm.samplers.values import whole_number

__all__ = ["Chain", "checked_seeds", "compile_chain", "require_finite"]


@dataclasses.dataclass(frozen=True)
class Chain:
    """Result of a sampling run: final images and energies, intermediate states and energies.

    Attributes:
        images: the final images, not clipped, float32 [B, H, W, C].
        energy: energies of the final images, float32 [B].
        states: of the first `kept_chains` images, the starting images, the images after every
            `show_every` steps and after the last step, and the final images, float32
            [n, kept_chains, H, W, C].
        energies: energies before each step, float32 [steps, B].
    """

    images: np.ndarray
    energy: np.ndarray
    states: np.ndarray
    energies: np.ndarray


def compile_chain(target: Target, method: Method, show_every: int = 0) -> Callable[..., Chain]:
    """Compiles the sampling of a target into a function from seeds to images and states.

    The run is compiled once and executed in parts of `show_every` steps. The length of the parts
    does not change the images.

    Args:
        target: what is sampled, of one size (`samplers.sized.sized`).
        method: how.
        show_every: steps between the recorded states; 0: a 27th of all steps.

    Returns:
        a function of a sequence of seeds, [B], and optionally of `on_steps` and `kept_chains`.
        `on_steps` is called with the number of steps that have just been done, after each part of
        the run. Of the first `kept_chains` images all states are kept; None: of all images. The
        others leave their device when they are final. The function returns a `Chain`. It raises
        InvalidArgument unless the seeds are integers in [0, 2^63), at least one, all different.

    Raises:
        InvalidArgument: for a target or a method that is none, and a negative `show_every`.
    """
    require_target(target)
    target = sized(target, None)
    require_method(method)
    show_every = whole_number("show_every", show_every, least=0) or max(1, method.num_steps // 27)
    # The batch size is left open, as in an exported model. If it were fixed, TensorFlow would fuse
    # operations in another way, and the last bits of an image would depend on the batch size.
    seeds_spec = tf.TensorSpec([None], tf.int64)

    @tf.function(input_signature=[seeds_spec], autograph=False)
    def start(seeds):
        return method.initial_state(method.start_images(target, seeds))

    state_spec = tf.nest.map_structure(
        lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype),
        start.get_concrete_function().structured_outputs,
    )

    @tf.function(
        input_signature=[state_spec, seeds_spec, *[tf.TensorSpec([], tf.int32)] * 2],
        autograph=False,
    )
    def advance(state, seeds, first_step, num_steps):
        return method.advance(target, state, seeds, first_step, num_steps)

    @tf.function(input_signature=[state_spec], autograph=False)
    def finish(state):
        images = method.finish(target, method.images_of(state))
        return images, energy_and_score(target, images)[0]

    def kept(state, kept_chains):
        # Sliced on the device: what is not kept is not copied from it.
        return method.images_of(state)[:kept_chains].numpy()

    def run(
        seeds: Sequence[int],
        on_steps: Callable[[int], None] = lambda _: None,
        kept_chains: int | None = None,
    ) -> Chain:
        seed_tensor = tf.constant(checked_seeds(seeds))
        state = start(seed_tensor)
        # A method of one noise level makes no step.
        states, energies = [kept(state, kept_chains)], [np.empty((0, len(seeds)), np.float32)]
        for first in range(0, method.num_steps, show_every):
            steps = min(show_every, method.num_steps - first)
            state, energy = advance(state, seed_tensor, tf.constant(first), tf.constant(steps))
            states.append(kept(state, kept_chains))
            energies.append(energy.numpy())
            on_steps(steps)
        images, energy = finish(state)
        states.append(images[:kept_chains].numpy())
        return Chain(images.numpy(), energy.numpy(), np.stack(states), np.concatenate(energies))

    return run


def checked_seeds(seeds: Sequence[int] | np.ndarray) -> np.ndarray:
    """Seeds as an array int64 [B], if they are valid and all different.

    Raises:
        InvalidArgument: if there is no seed, or a seed is not valid or occurs twice.
    """
    if np.ndim(seeds) == 0:
        raise InvalidArgument("seeds", "be one for each image, as range(16) or [0, 1]", seeds)
    if not len(seeds):
        raise InvalidArgument("seeds", "contain at least one seed", "no seed")
    for seed in np.asarray(seeds) if tf.is_tensor(seeds) else seeds:
        is_whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        if not is_whole or not 0 <= seed < 2**63:
            raise InvalidArgument("seeds", "be integers in [0, 2^63)", seed)
    values, counts = np.unique(seeds, return_counts=True)
    if counts.max() > 1:
        raise InvalidArgument("seeds", "differ from each other", f"{values[counts.argmax()]} twice")
    return np.asarray(seeds, np.int64)


def require_finite(chain: Chain, hint: str = "") -> None:
    """Refuses images with an energy that is NaN or infinite.

    Args:
        chain: the result of a sampling run.
        hint: what may help, added to the message.

    Raises:
        RunError: naming the first step at which that is so.
    """
    finite = np.isfinite(np.vstack([chain.energies, chain.energy])).all(axis=1)
    if not finite.all():
        step = np.argmin(finite)
        raise RunError(f"step {step} of the chain: the energy is not finite{hint}")
