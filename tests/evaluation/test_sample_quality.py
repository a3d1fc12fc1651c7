"""Sample quality from features: distances, precision, recall and scores in closed form."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from tests.helpers.features import fit, normal
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import (
    FeatureStatistics,
)
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
)


def gaussian(mean, covariance) -> FeatureStatistics:
    return FeatureStatistics(None, np.asarray(mean, float), np.asarray(covariance, float))


def test_distance_of_known_gaussians():
    """With diagonal covariances it is |m1 - m2|^2 + |s1 - s2|^2, also from samples."""
    spread_1, spread_2 = np.array([0.5, 1, 1.5, 2]), np.array([1.5, 0.5, 2, 4])
    shift = np.array([8.0, -6, 4, 10])
    expected = np.sum(shift**2) + np.sum((spread_1 - spread_2) ** 2)
    exact = frechet_distance(
        gaussian(np.zeros(4), np.diag(spread_1**2)), gaussian(shift, np.diag(spread_2**2))
    )
    assert exact == pytest.approx(expected, rel=1e-12)
    count = 100_000
    ours = fit(normal(count, 4) * spread_1)
    theirs = fit(normal(count, 4, 1) * spread_2 + shift)
    # A mean has variance s^2 / n, and a standard deviation nearly s^2 / 2n.
    slopes = shift**2 + (spread_1 - spread_2) ** 2 / 2
    error = 2 * np.sqrt(np.sum(slopes * (spread_1**2 + spread_2**2)) / count)
    assert frechet_distance(ours, theirs) == pytest.approx(expected, abs=5 * error)


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


def test_the_spread_of_the_kernel_distance_is_that_of_its_subsets():
    """Of two subsets, of which one alone gives the first: half of their difference."""
    one, other = normal(30, 4, seed=0), normal(30, 4, seed=1)
    first, no_spread = kernel_distance(one, other, subsets=1, subset_size=10)
    mean, spread = kernel_distance(one, other, subsets=2, subset_size=10)
    assert no_spread == 0
    assert spread == pytest.approx(abs(mean - first))


def test_copies_lie_in_balls_of_radius_0():
    """Features far from their mean, four copies of each: distances of copies are exactly 0."""
    features = np.repeat(1e3 * normal(50, 64, seed=0) + 1e5, 4, axis=0)
    copies = np.random.default_rng(1).permutation(features)
    assert precision_and_recall(copies, features) == (1, 1)


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
    monkeypatch.setattr("tf_mdsm.evaluation.sample_quality._ROWS", 10)
    assert precision_and_recall(samples, reference) == (precision, recall)


def test_precision_and_recall_copy_only_blocks_of_features(monkeypatch):
    monkeypatch.setattr("tf_mdsm.evaluation.sample_quality._ROWS", 20)
    samples, reference = (normal(200, 2_000, seed).astype(np.float32) for seed in range(2))
    tracemalloc.start()
    try:
        precision_and_recall(samples, reference)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < samples.nbytes


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
