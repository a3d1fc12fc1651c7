"""Sample quality from features: closed forms, then comparisons with public programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import (
    FeatureStatistics,
    fit_feature_statistics,
    load_feature_statistics,
    save_feature_statistics,
)
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
)


def normal(count, size, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size))


def gaussian(mean, covariance) -> FeatureStatistics:
    return FeatureStatistics(None, np.asarray(mean, float), np.asarray(covariance, float))


def fit(*batches) -> FeatureStatistics:
    return fit_feature_statistics(batches)


# Mean and covariance.


def test_statistics_equal_those_of_numpy():
    features = normal(500, 7) @ normal(7, 7, 1) + 3
    statistics = fit(features)
    assert statistics.count == 500
    np.testing.assert_allclose(statistics.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, np.cov(features.T), rtol=1e-10)


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


def test_distance_of_known_gaussians():
    """With diagonal covariances it is |m1 - m2|^2 + |s1 - s2|^2, also from two million samples."""
    spread_1, spread_2 = np.array([0.5, 1, 1.5, 2]), np.array([1.5, 0.5, 2, 4])
    shift = np.array([8.0, -6, 4, 10])
    expected = np.sum(shift**2) + np.sum((spread_1 - spread_2) ** 2)
    exact = frechet_distance(
        gaussian(np.zeros(4), np.diag(spread_1**2)), gaussian(shift, np.diag(spread_2**2))
    )
    assert exact == pytest.approx(expected, rel=1e-12)
    ours = fit(*(normal(100_000, 4, seed) * spread_1 for seed in range(20)))
    theirs = fit(*(normal(100_000, 4, seed) * spread_2 + shift for seed in range(20, 40)))
    # One standard error is 3e-4 of the distance, mostly from the last mean.
    assert frechet_distance(ours, theirs) == pytest.approx(expected, rel=1e-3)


# Fréchet distance.


def test_distance_of_shifted_and_scaled_features():
    """|shift|^2 + (scale - 1)^2 tr C."""
    features = normal(500, 8) * np.arange(1, 9)
    expected = 8 * 3.0**2 + np.trace(np.cov(features.T))
    other = fit(2 * features - features.mean(0) + 3.0)
    assert frechet_distance(fit(features), other) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 20), constant=st.integers(0, 20), seed=st.integers(0, 1000))
def test_distance_is_symmetric_and_0_between_equal_statistics(size, constant, seed):
    """Also with features that are always 0, or always equal to another feature."""
    ours = np.maximum(normal(60, size, seed) @ normal(size, size, seed + 1), 0)
    theirs = normal(50, size, seed + 2)
    ours[:, :constant] = 0
    theirs[:, constant // 2 :] = theirs[:, :1]
    ours, theirs = fit(ours), fit(theirs)
    assert frechet_distance(ours, ours) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(theirs, theirs) == pytest.approx(0, abs=1e-6)
    there, back = frechet_distance(ours, theirs), frechet_distance(theirs, ours)
    assert there == pytest.approx(back, rel=1e-9)
    assert there >= 0


def test_equal_statistics_of_many_features_with_small_variances_have_distance_0():
    """As for Inception: variances over ten orders of magnitude, some of them 0."""
    features = normal(600, 300) * 10 ** np.linspace(1, -9, 300) @ normal(300, 300, 1)
    features[:, ::7] = 0
    assert frechet_distance(fit(features), fit(features)) == pytest.approx(0, abs=1e-6)


def test_rank_deficient_covariances():
    """For covariances aa' and bb' the distance is |a|^2 + |b|^2 - 2 |a'b|."""
    a, b = normal(2, 12)
    distance = frechet_distance(
        gaussian(np.zeros(12), np.outer(a, a)), gaussian(np.zeros(12), np.outer(b, b))
    )
    assert distance == pytest.approx(a @ a + b @ b - 2 * abs(a @ b), rel=1e-9)
    point = gaussian(np.zeros(12), np.zeros((12, 12)))
    assert frechet_distance(point, point) == 0
    line = gaussian(np.zeros(12), np.outer(a, a))
    assert frechet_distance(point, line) == pytest.approx(a @ a, rel=1e-12)


def test_distance_equals_that_by_a_matrix_root():
    ours, theirs = fit(normal(400, 8) @ normal(8, 8, 1)), fit(normal(300, 8, 2) @ normal(8, 8, 3))
    root = linalg.sqrtm(ours.covariance @ theirs.covariance).real
    expected = np.sum((ours.mean - theirs.mean) ** 2)
    expected += np.trace(ours.covariance + theirs.covariance - 2 * root)
    assert frechet_distance(ours, theirs) == pytest.approx(expected, rel=1e-6)


# Files.


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


# Kernel distance.


def test_kernel_distance_of_equal_distributions_is_0():
    """The estimator is unbiased: its mean over subsets is 0 within 4.5 standard errors."""
    ours, theirs = normal(20_000, 6), normal(20_000, 6, 1)
    mean, std = kernel_distance(ours, theirs, subsets=100, subset_size=150)
    assert abs(mean) < 4.5 * std / np.sqrt(100)
    assert std > 0


def test_kernel_distance_of_known_points():
    """Two points in each set, so that the mean of a kernel without diagonal is a single value."""
    ours, theirs = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 1.0], [2.0, 2.0]])

    def kernel(x, y):
        return (x @ y / 2 + 1) ** 3

    across = np.mean([kernel(x, y) for x in ours for y in theirs])
    expected = kernel(*ours) + kernel(*theirs) - 2 * across
    assert kernel_distance(ours, theirs, 3, 2) == (pytest.approx(expected), pytest.approx(0))


def test_kernel_distance_of_zeros_and_ones():
    """The kernel is 1 except between ones of 2 features, where it is 8: 1 + 8 - 2."""
    assert kernel_distance(np.zeros((9, 2)), np.ones((9, 2)), 2, 5) == (pytest.approx(7), 0)


def test_kernel_distance_depends_on_its_seed():
    ours, theirs = normal(60, 6), normal(60, 6, 1) + 1
    first = kernel_distance(ours, theirs, 5, 30, seed=1)
    assert kernel_distance(ours, theirs, 5, 30, seed=1) == first
    assert kernel_distance(ours, theirs, 5, 30, seed=2) != first


# Precision and recall.


def test_equal_sets_cover_each_other():
    features = normal(200, 6)
    assert precision_and_recall(features, features) == (1, 1)
    # Also if every image occurs eight times, so that all radii are 0; far from the origin, too.
    repeated = np.repeat(features[:20], 8, axis=0)
    for offset in (0, 1e4):
        assert precision_and_recall(repeated + offset, repeated[::-1] + offset) == (1, 1)


def test_distant_sets_do_not_cover_each_other():
    assert precision_and_recall(normal(50, 6), normal(40, 6, 1) + 100) == (0, 0)


def test_precision_and_recall_of_clusters():
    """Samples of one of two clusters; samples of both, with a third of the images elsewhere."""
    reference = np.concatenate([normal(300, 4), normal(100, 4, 1) + 50])
    assert precision_and_recall(reference[:300], reference) == (1, 0.75)
    samples = np.concatenate([reference, reference[:200] + 500])
    precision, recall = precision_and_recall(samples, reference)
    assert (precision, recall) == (pytest.approx(2 / 3), 1)


def test_precision_of_points_on_a_line():
    """Radii to the second neighbor: 3, 2, 3, 9 around 0, 1, 3, 10."""
    reference = np.array([[0.0], [1.0], [3.0], [10.0]])
    samples = np.array([[-2.9], [-3.1], [6.1], [0.9], [19.1], [18.9]])
    precision, _ = precision_and_recall(samples, reference, neighbors=2)
    # The ball around 10 is from 1 to 19, the ball around 0 from -3 to 3.
    assert precision == pytest.approx(4 / 6)


def test_precision_and_recall_do_not_depend_on_blocks(monkeypatch):
    samples, reference = normal(97, 5) * 0.8, normal(83, 5, 1)
    precision, recall = precision_and_recall(samples, reference)
    assert 0 < recall < precision < 1
    for block in (1, 1_000):
        monkeypatch.setattr("tf_mdsm.evaluation.sample_quality._BLOCK", block)
        assert precision_and_recall(samples, reference) == (precision, recall)


# Inception score.


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(2, 30), each=st.integers(1, 5), splits=st.integers(1, 4))
def test_inception_score_of_uniform_and_of_certain_classes(classes, each, splits):
    uniform = np.full((classes * each * splits, classes), 3.0)
    assert inception_score(uniform, splits) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    certain = np.tile(1e4 * np.eye(classes), (each * splits, 1))
    assert inception_score(certain, splits) == (pytest.approx(classes), pytest.approx(0, abs=1e-9))
    one_class = np.tile(certain[:1], (len(certain), 1))
    assert inception_score(one_class, splits)[0] == pytest.approx(1)


def test_inception_score_is_computed_on_consecutive_parts():
    logits = normal(103, 5) * 3
    parts = [logits[:34], logits[34:68], logits[68:]]
    scores = [inception_score(part, 1)[0] for part in parts]
    expected = pytest.approx(np.mean(scores)), pytest.approx(np.std(scores))
    assert inception_score(logits, 3) == expected


# Wrong arguments.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(), "features of at least 2 images"),
        (lambda: fit(normal(1, 3)), "features of at least 2 images"),
        (lambda: fit(normal(9, 3), normal(9, 3)[0]), r"be features \[N, d\]"),
        (lambda: fit(np.full((9, 3), np.nan)), "be finite numbers"),
        (
            lambda: frechet_distance(fit(normal(5, 6)), fit(normal(9, 6))),
            "`samples` must have at",
        ),
        (
            lambda: frechet_distance(fit(normal(9, 6)), fit(normal(5, 6))),
            "`reference` must have",
        ),
        (
            lambda: frechet_distance(fit(normal(9, 6)), fit(normal(9, 5))),
            "have 6 features, as",
        ),
        (
            lambda: kernel_distance(normal(9, 6), normal(99, 6), 5, 10),
            "`samples` must have as",
        ),
        (
            lambda: kernel_distance(normal(99, 6), normal(9, 6), 5, 10),
            "`reference` must have",
        ),
        (
            lambda: kernel_distance(normal(9, 6), normal(9, 5), 5, 5),
            "have 6 features, as",
        ),
        (lambda: kernel_distance(normal(9, 6), normal(9, 6), 0, 5), "`subsets` must be at least 1"),
        (lambda: kernel_distance(normal(9, 6), normal(9, 6), 5, 1), "`subset_size` must be at le"),
        (lambda: precision_and_recall(normal(3, 6), normal(9, 6)), "`samples` must have as"),
        (lambda: precision_and_recall(normal(9, 6), normal(3, 6)), "`reference` must have"),
        (lambda: precision_and_recall(normal(9, 6), normal(9, 6), 0), "`neighbors` must be pos"),
        (lambda: precision_and_recall(normal(9, 6), normal(9, 6) * np.inf), "be finite numbers"),
        (lambda: inception_score(normal(9, 6)), "`splits` must be from 1 to the number"),
        (lambda: inception_score(normal(9, 6), 0), "`splits` must be from 1 to the number"),
        (lambda: inception_score(normal(9, 6) * np.nan, 1), "`logits` must be finite"),
    ],
)
def test_too_few_images_and_wrong_features_are_refused(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


# Public programs on the same features.


def correlated_pair(size=48):
    """Features like those of a network: not negative, correlated, some of very small variance.

    No two are equal. Programs treat equal features differently: a ball contains its edge here, as
    in the paper.
    """
    mixing = normal(size, size, 5) * 0.9 ** np.arange(size)
    ours = np.logaddexp(normal(400, size) @ mixing + 0.3, 0)
    return ours, np.logaddexp(normal(500, size, 1) @ mixing.T * 1.1 + 0.2, 0)


def test_distances_equal_those_of_torchmetrics():
    torch = pytest.importorskip("torch")
    fid = pytest.importorskip("torchmetrics.image.fid")
    kid = pytest.importorskip("torchmetrics.image.kid")
    ours, theirs = correlated_pair()
    statistics = fit(ours), fit(theirs)
    tensors = [torch.from_numpy(a) for s in statistics for a in (s.mean, s.covariance)]
    # It uses eigenvalues of a product that is not symmetric, whose rounding errors are larger.
    expected = float(fid._compute_fid(*tensors))
    assert frechet_distance(*statistics) == pytest.approx(expected, rel=1e-6)
    # A single subset that contains all features.
    pair = torch.from_numpy(ours), torch.from_numpy(theirs[:400])
    expected = float(kid.poly_mmd(*pair))
    distance = kernel_distance(ours, theirs[:400], 1, 400)
    assert distance == (pytest.approx(expected, rel=1e-6), 0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_inception_score_equals_that_of_torchmetrics():
    torch = pytest.importorskip("torch")
    inception = pytest.importorskip("torchmetrics.image.inception")
    logits = normal(400, 12) * 2
    score = inception.InceptionScore(feature=torch.nn.Identity(), splits=1).set_dtype(torch.float64)
    score.update(torch.from_numpy(logits))
    expected, _ = score.compute()
    assert inception_score(logits, 1)[0] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("neighbors", [1, 3, 5])
def test_precision_and_recall_equal_those_of_prdc(neighbors):
    prdc = pytest.importorskip("prdc")
    ours, theirs = correlated_pair(8)
    expected = prdc.compute_prdc(theirs, ours, neighbors)
    result = precision_and_recall(ours, theirs, neighbors)
    assert result == pytest.approx((expected["precision"], expected["recall"]), rel=1e-6)
    assert 0 < min(result) < max(result) < 1
