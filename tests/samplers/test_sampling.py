"""Sampling in one call: all methods on three kinds of targets against closed forms; refusals."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.targets import FunctionTarget
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import Target
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.metropolis import HMC, MALA
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.sampling import default_method, sample
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.samplers.starts import GaussianStart, IsotropicStart

SHAPE, SIGMA0, MEAN, VARIANCE = (4, 4, 1), 0.1, 0.3, 0.04
# D(x) - MEAN = KEPT (x - MEAN).
KEPT = 1 - SIGMA0**2 / VARIANCE
COUNT = 2_000


class Gaussian:
    """The Gaussian N(MEAN, VARIANCE I), written as a user would."""

    image_shape, sigma0 = SHAPE, SIGMA0

    def energy_and_score(self, images):
        offset = images - MEAN
        return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * VARIANCE), -offset / VARIANCE


def gaussian_network(keepdims: bool) -> keras.Model:
    """The same energy as a Keras model, [B] or [B, 1]."""
    images = keras.Input(SHAPE)
    squares = keras.layers.Flatten()(images - MEAN) ** 2
    return keras.Model(images, keras.ops.sum(squares, 1, keepdims) / (2 * VARIANCE))


class Wrapped:
    """Somebody's Keras model, with energies [B, 1]."""

    image_shape, sigma0 = SHAPE, SIGMA0

    def __init__(self, network):
        self.network = network

    def energy_and_score(self, images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            energy = self.network(images)[:, 0]
        return energy, -tape.gradient(energy, images)


TARGETS = {
    "gaussian": Gaussian,
    "energy_model": lambda: EnergyModel(gaussian_network(False), NoiseLevels(sigma0=SIGMA0)),
    "wrapped": lambda: Wrapped(gaussian_network(True)),
}
SIGMAS = falling_sigmas(1.0, 0.1, 6)
TEMPERATURES, STEP_SIZE = np.linspace(30, 0, 12), 0.1
EXACT = GaussianStart(np.full(SHAPE, MEAN), np.zeros((0, *SHAPE)), [], 0.0, VARIANCE**0.5)
METHODS = {
    "heun": Heun(SIGMAS),
    "multistep": Multistep(SIGMAS),
    "ancestral": AncestralEuler(SIGMAS),
    "coarse_to_fine": CoarseToFine(1.0, 0.0, [0.2, 0.5, 0.7], beta=1.0),
    "langevin": AnnealedLangevin(TEMPERATURES, STEP_SIZE),
    "mala": MALA([1.0, 1.0], [0.15, 0.15], start=EXACT),
    "hmc": HMC([1.0], [0.15], start=EXACT),
}


def expected_moments(name) -> tuple[float, float]:
    """Mean and variance of the final images, by the recursion of each method.

    All are linear here: a step multiplies the distance to MEAN, and adds a variance.
    """
    if name in ("mala", "hmc"):
        return MEAN, KEPT**2 * VARIANCE
    lost, first, last = 1 - KEPT, SIGMAS[:-1].astype(float), SIGMAS[1:].astype(float)
    change = last - first
    euler = 1 + change * lost / first
    steps = {
        "heun": (1 + change / 2 * lost * (1 / first + euler / last), 0 * first),
        "multistep": (two_step_factors(first, last), 0 * first),
        "ancestral": (
            KEPT + lost * (last / first) ** 2,
            last**2 * (1 - (last / first) ** 2),
        ),
        "coarse_to_fine": (1 - lost * np.array([0.2, 0.5, 0.7]), np.zeros(3)),
        "langevin": (
            np.full(12, 1 - STEP_SIZE**2 / (2 * VARIANCE)),
            STEP_SIZE**2 * TEMPERATURES,
        ),
    }
    distance, variance = 0.5 - MEAN, METHODS[name].sigma_range(Gaussian())[1] ** 2
    for factor, added in zip(*steps[name], strict=True):
        distance, variance = factor * distance, factor**2 * variance + added
    return MEAN + KEPT * distance, KEPT**2 * variance


def two_step_factors(first, last) -> list[float]:
    """What a step of `Multistep` multiplies the distance by; the distance before it is known too.

    D - D_before = KEPT (1 - 1 / f) of the distance, where f is the factor of the step before.
    """
    fall, factors = np.log(first / last), []
    for step, ratio in enumerate(last / first):
        ahead = fall[step] / (2 * fall[step - 1]) * (1 - 1 / factors[-1]) if step else 0.0
        factors.append(ratio + (1 - ratio) * KEPT * (1 + ahead))
    return factors


@pytest.fixture(scope="module", params=[(t, m) for t in TARGETS for m in METHODS])
def drawn(request):
    """The method's name, and its images of a target."""
    target, method = request.param
    return method, sample(TARGETS[target](), METHODS[method], seeds=range(COUNT), batch_size=1_500)


def test_every_method_samples_every_target(drawn):
    """Images have the mean and the variance of the closed form, within 5 standard errors."""
    name, images = drawn
    assert (images.shape, images.dtype) == ((COUNT, *SHAPE), np.float32)
    mean, variance = expected_moments(name)
    assert abs(images.mean() - mean) < 5 * np.sqrt(variance / images.size)
    assert images.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / images.size))


@pytest.fixture(scope="module")
def model():
    return EnergyModel(gaussian_network(False), NoiseLevels(0.1, 2.0, 16, sigma0=SIGMA0))


@pytest.mark.parametrize("seeds", [[7, 3], (7, 3), np.array([7, 3]), [np.int64(7), np.int32(3)]])
def test_an_image_depends_on_its_own_seed_only(model, seeds):
    """Whatever holds the seeds, and whatever the batch size is."""
    images = sample(model, seeds=seeds)
    np.testing.assert_allclose(
        images, sample(model, seeds=range(8), batch_size=3)[[7, 3]], atol=1e-6
    )
    np.testing.assert_array_equal(images, compile_chain(model, default_method(model))(seeds).images)


def test_the_default_is_heuns_method_in_nine_gradients(model):
    method = default_method(model)
    assert method == Heun(falling_sigmas(2.0, 0.01, 5))
    assert method.max_gradient_evaluations == 9
    with pytest.raises(InvalidArgument, match="`method` must be given for a target"):
        sample(Gaussian(), seeds=[0])


@pytest.mark.parametrize(
    "wrong", [[], 0, 5, None, [1, 1], [-1], [2**63], [0.5], [True], "12", np.zeros((2, 2), int)]
)
def test_wrong_seeds_are_refused(model, wrong):
    with pytest.raises(InvalidArgument, match="`seeds` must"):
        sample(model, seeds=wrong)


def test_a_number_of_images_is_not_seeds(model):
    with pytest.raises(InvalidArgument, match=r"as range\(16\).*Received: 16"):
        sample(model, seeds=16)


@pytest.mark.parametrize("wrong", [object(), keras.Sequential(), Gaussian.energy_and_score])
def test_what_is_no_target_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="`target` must have image_shape, sigma0 and"):
        sample(wrong, METHODS["heun"], seeds=[0])


@pytest.mark.parametrize("wrong", ["heun", Heun, [2.0, 0.1]])
def test_what_is_no_method_is_refused(model, wrong):
    """Its name, its class, or its noise levels alone."""
    for function in (sample, compile_chain):
        with pytest.raises(InvalidArgument, match="`method` must be a method, as Heun"):
            function(model, wrong, **({"seeds": [0]} if function is sample else {}))


@pytest.mark.parametrize(
    "method",
    [
        None,
        Heun([1.0, 0.1]),
        AncestralEuler([1.0, 0.1]),
        CoarseToFine(1.0, 0.1),
        MALA([1.0], [0.1]),
    ],
)
def test_a_model_that_does_not_denoise_is_sampled_by_langevin_only(method):
    noise = NoiseLevels(0.1, 1.0, 8, weighting="score")
    model = EnergyModel(gaussian_network(keepdims=False), noise)
    with pytest.raises(InvalidArgument, match=r'`method` must be AnnealedLangevin.*"score"'):
        sample(model, method, seeds=[0])
    with pytest.raises(InvalidArgument, match="`method` must have denoise=False"):
        sample(model, AnnealedLangevin([1.0], 0.01), seeds=[0])
    langevin = AnnealedLangevin([1.0], 0.01, denoise=False)
    assert np.isfinite(sample(model, langevin, seeds=[0])).all()


def test_targets_are_told_by_their_attributes(model):
    assert isinstance(model, Target)
    assert isinstance(Gaussian(), Target)
    assert not isinstance(model.network, Target)


def test_wrong_shapes_of_a_target_are_refused():
    """Energies [B, 1], a usual mistake, and a score of energies."""
    for function in (
        lambda x: (tf.reduce_sum(x, (1, 2)), x),
        lambda x: (tf.reduce_sum(x, (1, 2, 3)), x[..., 0]),
    ):
        with pytest.raises(InvalidArgument, match=r"must return energies \[B\] and scores"):
            sample(FunctionTarget(function, SHAPE, SIGMA0), METHODS["heun"], seeds=[0])


def test_a_start_of_another_shape_is_refused(model):
    start = GaussianStart(np.zeros((2, 2, 1)), np.zeros((0, 2, 2, 1)), [], 0.0, 1.0)
    with pytest.raises(InvalidArgument, match=r"`mean` must be of the target's images, \(4,"):
        sample(model, Heun(SIGMAS, start=start), seeds=[0])


def test_energies_of_other_precisions_are_taken():
    def energy_and_score(images):
        energy, score = Gaussian().energy_and_score(images)
        return tf.cast(energy, tf.float64), tf.cast(score, tf.float64)

    images = sample(FunctionTarget(energy_and_score, SHAPE, SIGMA0), METHODS["heun"], seeds=[0, 1])
    expected = sample(Gaussian(), METHODS["heun"], seeds=[0, 1])
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_an_infinite_energy_fails():
    def exploding(images):
        return 1e30 * tf.reduce_sum(images**2, (1, 2, 3)), 1e30 * images

    method = AnnealedLangevin(np.ones(3), step_size=1.0)
    with pytest.raises(RunError, match="step 1 of the chain: the energy is not finite"):
        sample(FunctionTarget(exploding, SHAPE, SIGMA0), method, seeds=[0])


@pytest.mark.parametrize(
    ("method", "range_"),
    [
        (Heun([50.0, 0.1]), "0.1 to 50"),
        (Heun([1.0, 0.001]), "0.001 to 1"),
        (AnnealedLangevin([900.0, 0.0], step_size=0.01), "0 to 3"),
    ],
)
def test_a_method_beyond_the_trained_levels_warns(model, method, range_):
    expected = f"levels {range_}, but the model was trained for 0.1 to 2"
    with pytest.warns(UserWarning, match=expected) as caught:
        sample(model, method, seeds=[0])
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("method", [Heun([2.0, 0.01]), AnnealedLangevin([400.0, 0.0], 0.01)])
def test_a_method_within_the_trained_levels_does_not(model, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample(model, method, seeds=[0])


def test_a_model_is_compiled_once_for_equal_methods(model, monkeypatch):
    """And it is sampled with the weights that it has now. Other targets are compiled each time."""
    count = []

    def counted(*arguments, **options):
        count.append(arguments)
        return compile_chain(*arguments, **options)

    monkeypatch.setattr("tf_mdsm.samplers.sampling.compile_chain", counted)
    for _ in range(3):
        sample(model, Heun([1.0, 0.3]), seeds=[0])
    assert len(count) == 1
    for _ in range(2):
        sample(Gaussian(), Heun([1.0, 0.3]), seeds=[0])
    assert len(count) == 3


def test_new_weights_give_new_images():
    images, dense = keras.Input(SHAPE), keras.layers.Dense(1)
    network = keras.Model(images, dense(keras.layers.Flatten()(images))[:, 0])
    model = EnergyModel(network, NoiseLevels())
    before = sample(model, seeds=[0])
    dense.kernel.assign(dense.kernel + 1.0)
    assert np.abs(sample(model, seeds=[0]) - before).max() > 1e-3


def test_the_isotropic_start_is_at_the_first_level_by_default():
    seeds = tf.range(3, dtype=tf.int64)
    for method, sigma in ((Heun(SIGMAS), 1.0), (AnnealedLangevin([400.0], 0.1), 2.0)):
        expected = IsotropicStart(sigma).noisy_images(seeds, SHAPE)
        np.testing.assert_allclose(method.start_images(Gaussian(), seeds), expected, rtol=1e-6)
