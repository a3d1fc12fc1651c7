"""The closed forms behind the figures of docs/concepts/how_it_works.md, and their writing."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import integrate

from docs.figures import closed_forms, levels, plane
from docs.figures.style import new_figure, write
from tf_mdsm.datasets.synthetic import mixture_energy

SIGMAS = np.array([0.05, 0.2, 0.6])
WEIGHTS = np.array([3.0, 1.0, 0.5])
LEVELS = {"sigmas": SIGMAS, "weights": WEIGHTS}


@pytest.fixture
def mixture():
    return closed_forms.GaussianMixture(np.array([[0.1, 0.9], [0.5, 0.4], [0.8, 0.7]]), 0.1)


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(size=(20, 2))


def numeric_gradient(energy, points, step=1e-5):
    """Central differences of energies [N] at points [N, d]."""
    offsets = step * np.eye(points.shape[1])
    columns = [(energy(points + offset) - energy(points - offset)) for offset in offsets]
    return np.stack(columns, axis=1) / (2 * step)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0])
def test_the_score_is_the_gradient_of_the_energy(mixture, points, sigma):
    gradient = numeric_gradient(lambda x: mixture.energy(x, sigma), points)
    np.testing.assert_allclose(mixture.score(points, sigma), -gradient, rtol=1e-5, atol=1e-6)


def test_the_energy_is_that_of_a_density(mixture):
    """exp(-E) integrates to 1."""
    axis = np.linspace(-1, 2, 301)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    density = np.exp(-mixture.energy(grid, 0.1))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-6)


def brute_force(mixture, place):
    """Sums over a grid of clean points: all that may become this noisy place, at each level.

    Returns:
        the mean of the clean points at each level, [K, 2], and the density of the place times
        the level's weight, [K].
    """
    axis = np.linspace(-1, 2, 401)
    clean = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    prior = np.exp(-mixture.energy(clean, 0.0)) * (axis[1] - axis[0]) ** 2
    squares = np.sum((clean - place) ** 2, axis=1)
    joint = np.stack([prior * np.exp(-squares / (2 * s**2)) / (2 * np.pi * s**2) for s in SIGMAS])
    joint = joint * WEIGHTS[:, None]
    return joint @ clean / joint.sum(1, keepdims=True), joint.sum(1)


def test_the_denoisers_are_means_of_clean_points(mixture):
    """Tweedie's formula, and the blend: the mean over clean points and levels by their weight."""
    place = np.array([0.35, 0.6])
    means, densities = brute_force(mixture, place)
    for sigma, mean in zip(SIGMAS, means, strict=True):
        np.testing.assert_allclose(mixture.denoised(place[None], sigma)[0], mean, rtol=1e-4)
    shares = densities / densities.sum()
    found = closed_forms.level_shares(mixture, place[None], **LEVELS)[0]
    np.testing.assert_allclose(found, shares, rtol=1e-4)
    blend = closed_forms.blended(mixture, place[None], **LEVELS)[0]
    np.testing.assert_allclose(blend, shares @ means, rtol=1e-4)
    seen = closed_forms.seen_noise(mixture, place[None], **LEVELS)
    np.testing.assert_allclose(seen, np.sqrt(shares @ SIGMAS**2), rtol=1e-4)


def test_the_blend_is_the_formula_of_the_page(mixture, points):
    """sigma0^2 grad E = -sum l sigma^2 grad p / sum l p, with grad p = p times the score."""
    densities = np.exp(-np.stack([mixture.energy(points, s) for s in SIGMAS]))
    gradients = np.stack([mixture.score(points, s) for s in SIGMAS]) * densities[..., None]
    above = np.einsum("k,knd->nd", WEIGHTS * SIGMAS**2, gradients)
    expected = points + above / (WEIGHTS @ densities)[:, None]
    np.testing.assert_allclose(closed_forms.blended(mixture, points, **LEVELS), expected)


def test_the_energy_of_the_weighting_score():
    """In the plane it is the one that the recipe `mixture` is compared with."""
    points = np.random.default_rng(1).uniform(size=(20, 2))
    found = closed_forms.mixed_energy(plane.MIXTURE, points, SIGMAS)
    known = mixture_energy(tf.constant(points[:, None, None], tf.float32), SIGMAS)
    np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-4)


def test_the_energy_along_a_line():
    """Its slope is (x - D) / sigma0^2; with one level sigma0 it is -log of the smoothed density."""
    line = closed_forms.GaussianMixture(np.array([[0.2], [0.8]]), 0.03)
    places = np.linspace(-0.2, 1.2, 2_001)
    denoised = line.denoised(places[:, None], 0.1)[:, 0]
    energy = closed_forms.energy_along_a_line(places, denoised, 0.1)
    expected = line.energy(places[:, None], 0.1)
    np.testing.assert_allclose(energy - energy.min(), expected - expected.min(), atol=1e-4)


@pytest.mark.parametrize("dimension", [2, 64, 1_024])
def test_shells(dimension):
    """Densities with area 1; the mean square of |z| / sqrt(d) is 1."""
    values = np.linspace(0, 6, 60_001)
    density = closed_forms.shell_density(values, dimension)
    assert integrate.trapezoid(density, values) == pytest.approx(1, abs=1e-6)
    assert integrate.trapezoid(density * values**2, values) == pytest.approx(1, abs=1e-6)
    distances = 0.3 * np.sqrt(dimension) * values
    density = closed_forms.distance_density(distances, dimension, 0.3)
    assert integrate.trapezoid(density, distances) == pytest.approx(1, abs=1e-6)


def test_errors_of_denoisers():
    """Against samples: noisy data of one Gaussian, denoised for another level and by the blend."""
    std, sigma, count, dimension = 0.25, 0.3, 4_000, 16
    generator = np.random.default_rng(0)
    clean = std * generator.standard_normal((count, dimension))
    noisy = clean + sigma * generator.standard_normal(clean.shape)
    data = closed_forms.GaussianMixture(np.zeros((1, dimension)), std)

    def measured(denoised):
        return np.mean((denoised - clean) ** 2)

    # 64,000 squares, each with a relative standard deviation of 1.4: 0.6 %, and four of these.
    other = closed_forms.one_level_error(std, np.array(sigma), 0.6)
    assert measured(data.denoised(noisy, 0.6)) == pytest.approx(other, rel=0.024)
    best = closed_forms.best_error(std, np.array(sigma))
    assert measured(data.denoised(noisy, sigma)) == pytest.approx(best, rel=0.024)
    blend = closed_forms.blend_error(std, sigma, dimension=dimension, **LEVELS)
    assert measured(closed_forms.blended(data, noisy, **LEVELS)) == pytest.approx(blend, rel=0.024)
    assert best < blend < other


def test_the_field_in_the_plane_is_the_blend_of_the_recipe():
    points = np.random.default_rng(2).uniform(size=(5, 1, 1, 2)).astype(np.float32)
    field = plane.BlendedField()
    energy, score = field.energy_and_score(tf.constant(points))
    sigmas = np.geomspace(0.03, 0.5, 16)
    blend = closed_forms.blended(
        plane.MIXTURE, points.reshape(-1, 2), sigmas=sigmas, weights=sigmas**-2
    )
    np.testing.assert_array_equal(energy, np.zeros(5))
    denoised = points + field.sigma0**2 * score
    np.testing.assert_allclose(denoised.numpy().reshape(-1, 2), blend, rtol=1e-4, atol=1e-5)


def test_paths_end_at_the_modes_closer_than_the_data():
    ends = plane.sampled_paths(200)[-1]
    distances = np.linalg.norm(ends[:, None] - plane.MIXTURE.means, axis=2)
    assert set(distances.argmin(1)) == set(range(8))
    spread = np.sqrt(np.mean(distances.min(1) ** 2))
    # The data have this distance times the root of 2, in two dimensions.
    assert spread < plane.MIXTURE.std / 4


def test_many_levels_are_nearly_the_best_at_every_level():
    """Whereas a level alone is several times worse at the other end."""
    sigmas = np.array([0.1, 0.25, 0.5, 1.0, 3.0])
    best = closed_forms.best_error(0.25, sigmas)
    assert (levels.blend_errors(sigmas) < 1.1 * best).all()
    for trained in (0.1, 0.5, 3.0):
        ratio = closed_forms.one_level_error(0.25, sigmas, trained) / best
        assert ratio.min() == pytest.approx(1)
        assert ratio.max() > 5


def test_a_figure_becomes_a_file(tmp_path):
    """It is twice as wide as a page shows it, and keeps its colors."""

    def draw():
        figure, ((axis,),) = new_figure(1, 1, 2.0)
        axis.plot([0, 1], color="#0072B2", linewidth=9)
        return figure

    write(draw, tmp_path / "figure.png")
    picture = Image.open(tmp_path / "figure.png")
    assert picture.size == (1_800, 400)
    assert picture.mode == "P"
    colors = {tuple(color) for color in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    assert {(0, 0x72, 0xB2), (255, 255, 255)} <= colors
