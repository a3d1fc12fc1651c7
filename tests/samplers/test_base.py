"""What all samplers hold: an image is a function of its seed, whatever the batch."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import (
    ALL,
    SHAPE,
    advance,
    gaussian,
    int_seeds,
    methods,
    target,
)
from tf_mdsm.config.ranges import CHOICES
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import denoise
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.starts import IsotropicStart


def flat(x):
    """Constant energy, zero score."""
    return tf.zeros(tf.shape(x)[0]), tf.zeros_like(x)


# Their images are a function of the start: no noise is added on the way.
DETERMINISTIC = ["heun", "multistep"]

# TensorFlow needs seconds for each compilation of MALA and HMC: they are compiled once here, and
# tests/slow asks the rest.
CHEAP = [name for name in ALL if name not in ("mala", "hmc")]


class StartOfPairs:
    """Seeds 2k and 2k + 1 start at the same image."""

    def noisy_images(self, seeds, image_shape):
        return IsotropicStart().noisy_images(seeds // 2, image_shape)


@dataclasses.dataclass
class Compiled:
    """A method on `gaussian`, counted gradient evaluations, and the compiled chain."""

    name: str

    def __post_init__(self):
        self.evaluations = tf.Variable(0)
        self.target = target(self._energy_and_score)
        self.method = dataclasses.replace(methods()[self.name], start=StartOfPairs())
        self.draw = compile_chain(self.target, self.method, show_every=5)

    def _energy_and_score(self, images):
        # A variable does not work in HMC's loop over leapfrog steps.
        if self.name != "hmc":
            self.evaluations.assign_add(1)
        return gaussian(images)


@pytest.fixture(scope="module")
def compiled(request):
    """The method of this name, compiled once for all tests."""
    compiled = Compiled(request.param)
    compiled.draw([0])
    return compiled


each_sampler = pytest.mark.parametrize("compiled", ALL, indirect=True)
each_cheap_sampler = pytest.mark.parametrize("compiled", CHEAP, indirect=True)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, np.nan], [], [[1.0]], [-1.0], [np.inf, 1.0]])
def test_schedules_that_rise_or_are_not_finite_are_refused(wrong):
    for name in ("annealed_langevin", "heun", "coarse_to_fine", "mala"):
        method = methods()[name]
        fields = {"heun": "sigmas", "coarse_to_fine": "step_sizes"}
        field = fields.get(name, "temperatures")
        with pytest.raises(InvalidArgument, match=f"`{field}` must"):
            dataclasses.replace(method, **{field: np.array(wrong, np.float32)})


@each_sampler
def test_an_image_depends_on_its_own_seed_only(compiled):
    """In batches of 64, 7 and 1 the noise is the same; the images differ by the order of sums."""
    all_64 = compiled.draw(range(64))
    for seeds in ([0], [63], range(7), [63, 62, 61], [5, 40]):
        part, same = compiled.draw(seeds), list(seeds)
        np.testing.assert_array_equal(part.states[0], all_64.states[0][same])
        np.testing.assert_allclose(part.images, all_64.images[same], rtol=1e-4, atol=1e-5)
    assert len(np.unique(all_64.states[0][:, 0, 0, 0])) == 32


@each_sampler
def test_noise_is_a_function_of_the_seed(compiled):
    """From the same image, two seeds give different images, unless no noise is added on the way."""
    chain = compiled.draw(range(10))
    np.testing.assert_array_equal(chain.states[0][::2], chain.states[0][1::2])
    if compiled.name in DETERMINISTIC:
        np.testing.assert_array_equal(chain.images[::2], chain.images[1::2])
    else:
        differences = np.abs(chain.images[::2] - chain.images[1::2])
        assert differences.max((1, 2, 3)).min() > 0.01


@each_sampler
def test_states_energies_and_schedule_are_those_of_all_steps(compiled):
    steps, num_steps = [], compiled.method.num_steps
    chain = compiled.draw(range(4), steps.append)
    assert sum(steps) == num_steps
    assert chain.energies.shape == (num_steps, 4)
    assert len(chain.states) == 1 + len(steps) + 1
    quantity, values = compiled.method.schedule
    assert quantity
    assert len(values) == num_steps


@pytest.mark.parametrize("compiled", sorted({*ALL} - {"hmc"}), indirect=True)
def test_max_gradient_evaluations(compiled):
    compiled.evaluations.assign(0)
    compiled.draw(range(2))
    # The chain records the energies of the final images as well.
    number, largest = int(compiled.evaluations) - 1, compiled.method.max_gradient_evaluations
    assert number < largest if compiled.name == "coarse_to_fine" else number == largest


@pytest.mark.parametrize("compiled", ["coarse_to_fine"], indirect=True)
def test_an_ascent_that_does_not_end_makes_all_gradient_evaluations(compiled):
    method = dataclasses.replace(compiled.method, sigma_end=0.0)
    compiled.evaluations.assign(0)
    tf.function(method.sample, autograph=False)(compiled.target, int_seeds(2))
    assert int(compiled.evaluations) == method.max_gradient_evaluations


@each_cheap_sampler
def test_splitting_a_sampling_run_into_parts_does_not_change_it(compiled):
    unsplit = compile_chain(compiled.target, compiled.method, show_every=1_000)(range(4))
    split = compiled.draw(range(4))
    np.testing.assert_array_equal(unsplit.images, split.images)
    np.testing.assert_array_equal(unsplit.energies, split.energies)


@each_cheap_sampler
def test_eager_and_compiled_agree(compiled):
    """Eager, in the first two steps, as all steps take long."""
    target, method, seeds = compiled.target, compiled.method, int_seeds(3)
    images = method.start_images(target, seeds)
    state = method.initial_state(images)
    eager = method.advance(target, state, seeds, tf.constant(0), tf.constant(2))
    graph = advance(target, method, images, 0, 2)
    for ours, theirs in zip(tf.nest.flatten(eager), tf.nest.flatten(graph), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compiled", ["annealed_langevin", "heun"], indirect=True)
def test_sample_draws_the_images_of_the_chain(compiled):
    """`sample` makes start, all steps and end in one; the chain makes them in parts."""
    sampled = tf.function(compiled.method.sample, autograph=False)(compiled.target, int_seeds(3))
    np.testing.assert_allclose(sampled, compiled.draw(range(3)).images, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Heun, Multistep, AncestralEuler])
def test_one_noise_level_is_compiled_by_xla(kind):
    """As for an export: no step is made, and the image is D of the start."""
    method, of, seeds = kind([0.3]), target(gaussian), int_seeds(3)
    sampled = tf.function(method.sample, autograph=False, jit_compile=True)(of, seeds)
    expected = denoise(of, method.start_images(of, seeds))[1]
    np.testing.assert_allclose(sampled, expected, rtol=1e-4, atol=1e-5)


def test_every_sampler_of_the_configuration_is_tested_here():
    assert set(CHOICES["sampling.sampler"]) <= set(ALL)


@pytest.mark.parametrize("name", ["heun", "multistep", "coarse_to_fine"])
def test_images_do_not_change_without_gradient(name):
    """Two add a difference of zero; the third takes a mean of equals, and rounds it."""
    images, method = IsotropicStart().noisy_images(int_seeds(2), SHAPE), methods()[name]
    state, _ = advance(target(flat), method, images)
    tolerance = 1e-5 if name == "multistep" else 0
    np.testing.assert_allclose(method.images_of(state), images, rtol=tolerance)
