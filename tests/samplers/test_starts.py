"""Starting points: noise added to given images; Gaussians with the images' covariance."""

import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.correlated_images import correlated_images, covariance_of
from tests.helpers.denoiser_samplers import SHAPE, int_seeds
from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.starts import GaussianStart, ImagesStart


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


@pytest.mark.parametrize("kept", [24, 4])
def test_gaussian_starts_have_the_mean_and_covariance_plus_noise(kept):
    """Mean and covariance of 20,000 starts: N(mean, C + sigma^2 I), within 5 standard errors."""
    statistics = fit_statistics(correlated_images(2_000), max_components=kept)
    count, sigma, shape = 20_000, 0.3, statistics.mean.shape
    start = GaussianStart(**dataclasses.asdict(statistics), sigma=sigma)
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
    return [ImagesStart(images, 0.1), GaussianStart(**dataclasses.asdict(statistics), sigma=0.3)]


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
