"""Langevin dynamics."""

from collections.abc import Callable

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["ConditionFn", "EnergyAndScoreFn", "annealed_langevin"]

# Images [B, H, W, C] to energies [B] and scores -dE/dx [B, H, W, C].
EnergyAndScoreFn = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# Images, number of the step and temperature to images.
ConditionFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def annealed_langevin(
    energy_and_score_fn: EnergyAndScoreFn,
    images: tf.Tensor,
    seeds: tf.Tensor,
    temperatures: tf.Tensor,
    step_size: float,
    first_step: tf.Tensor | int = 0,
    condition_fn: ConditionFn | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Unadjusted Langevin dynamics under a falling temperature (MDSM, section 4).

        x <- x + step_size^2 / 2 * score(x) + step_size * sqrt(T) * N(0, I)

    At constant T and small steps its law is exp(-E / T); it is not calibrated: a Gaussian of
    variance s^2 T comes out with variance s^2 T / (1 - step_size^2 / (4 s^2)). Other projects'
    step sizes are step_size^2 / 2 (NCSN) or step_size^2 (TensorFlow Probability).

    Each image's noise depends on its seed and the number of the step only, so a chain may be
    cut into calls, each with its `first_step`. To be called from a `tf.function`, of which it
    becomes one loop.

    Args:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        images: where the chain stands, float32 [B, H, W, C].
        seeds: one seed an image, int64 [B], each >= 0.
        temperatures: T of each step, float32 [steps].
        step_size: epsilon, in pixel units.
        first_step: number of the first of these steps.
        condition_fn: applied to the images before each gradient; it can hold to what is known
            of them (`inpainting`).

    Returns:
        the images after the last step, and the energy before each step, float32 [steps, B].
    """
    temperatures = tf.convert_to_tensor(temperatures, images.dtype)
    steps = tf.shape(temperatures)[0]
    image_shape = tuple(images.shape[1:])

    def step(i, images, energies):
        if condition_fn is not None:
            images = condition_fn(images, first_step + i, temperatures[i])
        energy, score = energy_and_score_fn(images)
        noise = randomness.normal(seeds, (first_step + i, 0), "langevin", image_shape)
        noise = step_size * tf.sqrt(temperatures[i]) * tf.cast(noise, images.dtype)
        images = images + 0.5 * step_size**2 * score + noise
        return i + 1, images, energies.write(i, energy)

    energies = tf.TensorArray(tf.float32, steps)
    _, images, energies = tf.while_loop(
        lambda i, *_: i < steps, step, (tf.constant(0), images, energies)
    )
    return images, energies.stack()
