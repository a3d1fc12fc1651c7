"""Starting points: noise added to given images; Gaussians with the images' covariance."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.correlated_images import correlated_images, covariance_of
from tests.helpers.denoiser_samplers import SHAPE, int_seeds
from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.conditioning import KnownPixels
from tf_mdsm.samplers.starts import (
    GaussianStart,
    ImagesStart,
    IsotropicStart,
    MixtureStart,
    SmoothStart,
)


def test_images_start_adds_noise_to_given_images():
    """Seed s starts at image s mod N, with noise of level sigma that depends on the seed."""
    images = np.float32([0.0, 1.0])[:, None, None, None] * np.ones((2, *SHAPE), np.float32)
    starts = ImagesStart(images, 0.1).noisy_images(int_seeds(200), SHAPE).numpy()
    offset = starts - images[np.arange(200) % 2]
    assert offset.std() == pytest.approx(0.1, rel=5 / np.sqrt(2 * 200 * np.prod(SHAPE)))
    assert len(np.unique(offset[:, 0, 0, 0])) == 200
    clean = ImagesStart(images, 0.0).noisy_images(int_seeds(2), SHAPE)
    np.testing.assert_array_equal(clean, images)
    for wrong in (images[:0], images[0], images * np.nan):
        with pytest.raises(InvalidArgument, match="`images` must"):
            ImagesStart(wrong, 0.1)


def test_starts_take_pixels_from_0_to_255():
    """As everywhere, uint8 is divided by 255: of an array, a tensor, and a list of arrays."""
    levels = np.arange(2 * np.prod(SHAPE), dtype=np.uint8).reshape(2, *SHAPE)
    images = levels.astype(np.float32) / np.float32(255)
    for given in (levels, tf.constant(levels), list(levels)):
        start = ImagesStart(given, 0.5)
        assert start == ImagesStart(images, 0.5)
        assert not start.images.flags.writeable
    gaussian = {"components": images[:1], "variances": [1.0], "residual_variance": 0.1}
    of_levels = GaussianStart(levels[0], **gaussian, sigma=0.5)
    assert of_levels == GaussianStart(images[0], **gaussian, sigma=0.5)
    fields = {**vars(two_gaussians(0.1)), "mean": np.full((2, 4, 1), 51, np.uint8)}
    fields.pop("_made", None)
    np.testing.assert_array_equal(MixtureStart(**fields).mean, np.full((2, 4, 1), 0.2, np.float32))


def test_a_smooth_start_is_noise_around_what_the_known_pixels_say():
    """In a bright image with a hole; with nothing known it is the isotropic start, bit for bit."""
    seeds, shape = int_seeds(3), (8, 8, 1)
    start, noise = SmoothStart(0.2), IsotropicStart(0.2).noisy_images(seeds, shape) - 0.5
    np.testing.assert_array_equal(start.noisy_images(seeds, shape), noise + 0.5)
    mask = np.ones((3, 8, 8, 1), np.float32)
    mask[:, 3:6, 2:6] = 0
    known = KnownPixels(tf.fill(mask.shape, 0.9), tf.constant(mask), seeds)
    np.testing.assert_allclose(start.noisy_images(seeds, shape, known), 0.9 + noise, atol=1e-3)
    with pytest.raises(InvalidArgument, match="`sigma` must"):
        SmoothStart(-1.0)


@pytest.mark.parametrize("kept", [24, 4])
def test_gaussian_starts_have_the_mean_and_covariance_plus_noise(kept):
    """Mean and covariance of 20,000 starts: N(mean, C + sigma^2 I), within 5 standard errors."""
    statistics = fit_statistics(correlated_images(2_000), max_components=kept)
    count, sigma, shape = 20_000, 0.3, statistics.mean.shape
    start = GaussianStart(**statistics.gaussian(), sigma=sigma)
    starts = start.noisy_images(tf.range(count, dtype=tf.int64), shape).numpy().reshape(count, -1)
    expected = covariance_of(statistics) + sigma**2 * np.eye(24)
    spread = np.sqrt(np.diag(expected))
    error_of_mean = (starts.mean(0) - statistics.mean.ravel()) / spread
    assert np.abs(error_of_mean).max() < 5 / np.sqrt(count)
    errors = (np.cov(starts.T) - expected) / np.outer(spread, spread)
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count)
    again = start.noisy_images(tf.constant([7, 19_999], tf.int64), shape).numpy().reshape(2, -1)
    np.testing.assert_allclose(again, starts[[7, 19_999]], rtol=1e-5, atol=1e-6)


def large_starts() -> list:
    """Starts whose arrays have 80,000 bytes at least."""
    images = np.random.default_rng(0).uniform(size=(60, 18, 19, 1)).astype(np.float32)
    statistics = fit_statistics(images, max_components=60)
    return [ImagesStart(images, 0.1), GaussianStart(**statistics.gaussian(), sigma=0.3)]


@pytest.mark.parametrize("start", large_starts(), ids=["images", "gaussian"])
def test_arrays_are_variables_that_all_graphs_share(start):
    """A constant would be copied into the graph of an export, which has a largest size."""
    seeds = tf.TensorSpec([None], tf.int64)
    functions = [
        tf.function(lambda seeds: start.noisy_images(seeds, (18, 19, 1)), [seeds], autograph=False)
        for _ in range(2)
    ]
    graphs = [function.get_concrete_function().graph for function in functions]
    for graph in graphs:
        assert {id(v) for v in graph.variables} == {id(v) for v in start.variables}
    assert all(graph.as_graph_def().ByteSize() < 40_000 for graph in graphs)
    assert sum(v.shape.num_elements() for v in start.variables) > 20_000
    assert not any(v.trainable for v in start.variables)
    # Compiled or not, from a copy or not: the same images.
    images = functions[0](int_seeds(5)).numpy()
    copied = pickle.loads(pickle.dumps(start))  # noqa: S301
    assert copied == start
    np.testing.assert_array_equal(copied.noisy_images(int_seeds(5), (18, 19, 1)), images)


def test_threads_share_the_variables_of_a_start():
    """Functions do not keep alive what they read: one set of variables stays, or none would."""
    start = large_starts()[0]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: start.variables, range(16)))
    assert {id(variables) for variables in made} == {id(start.variables)}


def two_gaussians(sigma: float) -> MixtureStart:
    """A mixture in 8 pixels: far apart along the first direction, unlike covariances."""
    directions = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))[0][:3]
    return MixtureStart(
        weights=np.float32([0.3, 0.7]),
        mean=np.linspace(0, 1, 8).reshape(2, 4, 1),
        components=directions.reshape(3, 2, 4, 1),
        centers=np.float32([[20, 1, 0], [-20, 0, 2]]),
        covariances=np.float32([np.diag([1, 0.5, 0.1]), np.eye(3) + 0.5]),
        residual_variances=np.float32([0.04, 0.25]),
        sigma=sigma,
    )


def test_mixture_starts_have_the_weights_means_and_covariances_plus_noise():
    """Of 40,000 starts, in each Gaussian, within 5 standard errors."""
    sigma, count = 0.3, 40_000
    start = two_gaussians(sigma)
    starts = start.noisy_images(int_seeds(count), (2, 4, 1)).numpy().reshape(count, 8)
    directions = start.components.reshape(3, 8).astype(np.float64)
    first = (starts - start.mean.ravel()) @ directions[0] > 0
    assert first.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / count))
    for k, members in enumerate((starts[first], starts[~first])):
        mean = start.mean.ravel() + start.centers[k] @ directions
        projection = directions.T @ directions
        expected = directions.T @ start.covariances[k] @ directions + sigma**2 * np.eye(8)
        expected += start.residual_variances[k] * (np.eye(8) - projection)
        spread = np.sqrt(np.diag(expected))
        number = len(members)
        assert np.abs((members.mean(0) - mean) / spread).max() < 5 / np.sqrt(number)
        errors = (np.cov(members.T) - expected) / np.outer(spread, spread)
        assert np.abs(errors).max() < 5 * np.sqrt(2 / number)


def test_a_mixture_start_depends_on_its_seed_only():
    start = two_gaussians(0.1)
    together = start.noisy_images(int_seeds(50), (2, 4, 1)).numpy()
    alone = start.noisy_images(tf.constant([7], tf.int64), (2, 4, 1)).numpy()
    np.testing.assert_allclose(alone[0], together[7], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("weights", [0.0, 0.0]),
        ("weights", [-0.1, 1.1]),
        ("centers", np.zeros((2, 2))),
        ("covariances", np.zeros((2, 3, 2))),
        ("covariances", -np.ones((2, 1, 1)) * np.eye(3)),
        ("residual_variances", [-1.0, 1.0]),
        ("components", np.zeros((3, 2, 3, 1))),
        ("mean", np.zeros(8)),
        ("sigma", -1.0),
    ],
)
def test_wrong_mixtures_are_refused(field, wrong):
    fields = {**vars(two_gaussians(0.1)), field: wrong}
    fields.pop("_made", None)
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        MixtureStart(**fields)
