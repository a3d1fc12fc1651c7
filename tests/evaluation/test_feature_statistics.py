"""Mean and covariance of features: in batches against NumPy, and the files that keep them."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.features import fit, normal
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import (
    load_feature_statistics,
    save_feature_statistics,
)
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
)


def test_statistics_equal_those_of_numpy():
    features = normal(500, 7) @ normal(7, 7, 1) + 3
    statistics = fit(features)
    assert statistics.count == 500
    np.testing.assert_allclose(statistics.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, np.cov(features.T), rtol=1e-10)


def test_a_large_batch_is_summed_in_blocks():
    features = normal(5_000, 300).astype(np.float32)
    tracemalloc.start()
    try:
        statistics = fit(features)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A copy in float64 would take twice as much as the features.
    assert peak < features.nbytes + 4 * 300 * 300 * 8
    np.testing.assert_allclose(statistics.covariance, np.cov(features.T), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6).filter(lambda s: sum(s) > 1),
    offset=st.sampled_from([0.0, 1.0, 1e6]),
    single=st.booleans(),
)
def test_statistics_do_not_depend_on_batches_or_a_large_mean(sizes, offset, single):
    """With a mean of 1e6 standard deviations, a difference of squares would have 4 digits."""
    features = normal(sum(sizes), 4) @ normal(4, 4, 1) + offset
    features = features.astype(np.float32) if single else features
    streamed = fit(*np.split(features, np.cumsum(sizes)[:-1]))
    exact = features.astype(np.float64)
    assert streamed.count == len(features)
    np.testing.assert_allclose(streamed.mean, exact.mean(0), rtol=1e-12, atol=1e-12)
    covariance = np.cov(exact.T)
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(streamed.covariance, covariance, atol=1e-8 * scale + 1e-12)


def test_statistics_are_saved_and_loaded(tmp_path):
    path = str(tmp_path / "reference.npz")
    statistics = fit(normal(40, 5))
    save_feature_statistics(statistics, path)
    loaded = load_feature_statistics(path, 5)
    assert loaded.count == 40
    np.testing.assert_array_equal(loaded.mean, statistics.mean)
    np.testing.assert_array_equal(loaded.covariance, statistics.covariance)
    # As other programs write them: without a count, perhaps in single precision.
    mu, sigma = statistics.mean.astype(np.float32), statistics.covariance.astype(np.float32)
    np.savez(path, mu=mu, sigma=sigma)
    external = load_feature_statistics(path, 5)
    assert external.count is None
    assert external.covariance.dtype == np.float64
    assert frechet_distance(statistics, external) == pytest.approx(0, abs=1e-6)
    save_feature_statistics(external, path)
    assert load_feature_statistics(path, 5).count is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(4), "sigma": np.eye(4)}, r"mu \[5\].* Received: \(4,\) and \(4, 4\)"),
        ({"mu": np.zeros(5), "sigma": np.eye(4)}, r"Received: \(5,\) and \(4, 4\)"),
        ({"mu": np.zeros(5)}, "hold an array named `sigma`"),
        ({"mu": np.zeros(5), "sigma": np.full((5, 5), np.nan)}, "hold finite numbers"),
        ({"mu": np.array(["a"] * 5), "sigma": np.eye(5)}, "hold numbers"),
        ({"mu": np.array([object()]), "sigma": np.eye(5)}, r"be a readable \.npz file"),
        ({"mu": np.zeros(5), "sigma": np.eye(5), "count": [1, 2]}, "hold numbers"),
    ],
)
def test_files_with_other_content_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "reference.npz", **arrays)
    with pytest.raises(InvalidArgument, match=message):
        load_feature_statistics(str(tmp_path / "reference.npz"), 5)


def test_unreadable_files_are_refused(tmp_path):
    path = tmp_path / "reference.npz"
    save_feature_statistics(fit(normal(40, 5)), str(path))
    for content in (b"garbage", b"", path.read_bytes()[:-300]):
        path.write_bytes(content)
        with pytest.raises(InvalidArgument, match=r"be a readable \.npz file"):
            load_feature_statistics(str(path), 5)
    np.save(tmp_path / "array.npy", np.zeros(5))
    for name in ("missing.npz", "array.npy", "."):
        with pytest.raises(InvalidArgument, match=r"be a readable \.npz file"):
            load_feature_statistics(str(tmp_path / name), 5)


def test_statistics_of_other_features_are_refused(tmp_path):
    """A file of this program says whose features they are; one of another program does not."""
    path, statistics = str(tmp_path / "own.npz"), fit(normal(40, 5))
    save_feature_statistics(dataclasses.replace(statistics, features="0123"), path)
    assert load_feature_statistics(path, 5, "0123").features == "0123"
    assert load_feature_statistics(path, 5).features == "0123"
    with pytest.raises(InvalidArgument, match=r"of the features 4567\. Received: 0123"):
        load_feature_statistics(path, 5, "4567")
    np.savez(path, mu=statistics.mean, sigma=statistics.covariance)
    assert load_feature_statistics(path, 5, "4567").features == ""
    np.savez(path, mu=statistics.mean, sigma=statistics.covariance, features_hash=np.zeros(3))
    assert load_feature_statistics(path, 5, "4567").features == ""


MATRIX = np.cov(np.random.default_rng(0).normal(size=(500, 64)), rowvar=False)
# Of rank 5: in single and half precision some of the other eigenvalues are below zero.
FLAT = np.cov(np.random.default_rng(1).normal(size=(500, 5)) @ MATRIX[:5], rowvar=False)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (np.triu(MATRIX), "hold a symmetric sigma"),
        (MATRIX + np.eye(64, k=3) * 1e-3, "differ by 0.001"),
        # A hundred times as much as rounding leaves.
        (MATRIX + np.eye(64, k=3) * 6_400 * 2**-52 * np.abs(MATRIX).max(), "symmetric sigma"),
        (-MATRIX, "without negative variances"),
        (MATRIX - 0.9 * np.eye(64), "without negative variances"),
        (MATRIX + 1e-3j, "real, not complex"),
        (MATRIX.astype(complex), "real, not complex"),
    ],
)
def test_matrices_that_are_no_covariances_are_refused(tmp_path, sigma, message):
    np.savez(tmp_path / "own.npz", mu=np.zeros(64), sigma=sigma)
    with pytest.raises(InvalidArgument, match=message):
        load_feature_statistics(str(tmp_path / "own.npz"), 64)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("sigma", [MATRIX, FLAT, 0 * MATRIX], ids=["full", "flat", "zero"])
def test_covariances_of_all_precisions_are_read(tmp_path, sigma, dtype):
    np.savez(tmp_path / "own.npz", mu=np.zeros(64, dtype), sigma=sigma.astype(dtype))
    loaded = load_feature_statistics(str(tmp_path / "own.npz"), 64)
    np.testing.assert_array_equal(loaded.covariance, sigma.astype(dtype))
