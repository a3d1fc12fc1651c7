"""Memorization: nearest neighbors against brute force, and samples compared with validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation import memorization as module
from tf_mdsm.evaluation.memorization import (
    memorization,
    nearest_in_blocks,
    nearest_neighbors,
)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def by_brute_force(queries, references, k):
    """Indices and distances as `nearest_neighbors` returns them, from all differences."""
    queries, references = (
        values.reshape(len(values), -1).astype(np.float64) for values in (queries, references)
    )
    distances = np.linalg.norm(queries[:, None] - references[None], axis=-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


@settings(max_examples=25, deadline=None)
@given(
    counts=st.tuples(*[st.integers(1, 90)] * 2),
    dimension=st.integers(1, 40),
    k=st.integers(1, 90),
    offset=st.sampled_from([0.0, 0.5, 1e4]),
    seed=st.integers(0, 2**32),
)
def test_nearest_neighbors_equal_those_by_brute_force(counts, dimension, k, offset, seed):
    """Also far from the origin, where products in single precision alone would fail.

    The block sizes do not divide the counts.
    """
    queries, references = (
        offset + normal((count, dimension), seed + i) for i, count in enumerate(counts)
    )
    k = min(k, len(references))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_QUERIES", 16)
        patch.setattr(module, "_REFERENCES", 32)
        indices, distances = nearest_neighbors(queries, references, k)
    order, exact = by_brute_force(queries, references, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, exact, rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    k=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_references_in_blocks_have_the_same_neighbors(sizes, k, seed):
    """Also equal ones, of which the first comes first; blocks may have fewer than k."""
    references = np.random.default_rng(seed).integers(0, 3, (sum(sizes), 3)).astype(np.float32)
    queries, k = normal((5, 3), seed).astype(np.float32), min(k, len(references))
    blocks = np.split(references, np.cumsum(sizes)[:-1])
    indices, distances = nearest_in_blocks(queries, iter(blocks), k)
    order, exact = by_brute_force(queries, references, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, exact, rtol=1e-9, atol=1e-12)


def test_nearest_neighbors_over_several_blocks():
    images = normal((6_000, 4, 4, 3)).astype(np.float32)
    queries = images[::500] + np.float32(0.01)
    indices, distances = nearest_neighbors(queries, images, 3)
    np.testing.assert_array_equal(indices[:, 0], np.arange(0, 6_000, 500))
    np.testing.assert_allclose(distances[:, 0], 0.01 * 48**0.5, rtol=1e-4)
    assert (np.diff(distances, axis=1) > 0).all()


@pytest.mark.parametrize("as_float", [False, True])
def test_a_copy_is_at_distance_0(as_float):
    """Also if the pixels of the copy are floats; the first of several copies comes first."""
    training = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)
    training[250] = training[7]
    copies = training[[7, 299]]
    queries = copies / np.float32(255) if as_float else copies
    indices, distances = nearest_neighbors(queries, training, 2)
    np.testing.assert_array_equal(indices[:, 0], [7, 299])
    np.testing.assert_array_equal(distances[:, 0], 0)
    assert (indices[0, 1], distances[0, 1]) == (250, 0)
    assert distances[1, 1] > 1


def test_equal_distributions_have_the_percentile_as_fraction():
    """The fraction and the validation images' percentile both have a binomial error."""
    count, percentile = 4_000, 10.0
    result = memorization(normal(count) + 9, normal(count, 1) + 9, percentile)
    tolerance = 4 * (2 * 0.1 * 0.9 / count) ** 0.5
    assert result["share_below"] == pytest.approx(0.1, abs=tolerance)
    assert result["median"] == pytest.approx(9, abs=4 * 1.2533 / count**0.5)
    assert result["validation_median"] == pytest.approx(9, abs=4 * 1.2533 / count**0.5)
    assert result["threshold"] == pytest.approx(9 - 1.2816, abs=0.15)
    assert result["percentile"] == percentile


def test_copies_are_detected():
    training, validation = normal((200, 16)), normal((100, 16), 1)
    distances = [nearest_neighbors(one, training)[1] for one in (training[:50], validation)]
    result = memorization(*distances)
    assert (result["share_below"], result["median"]) == (1.0, 0.0)
    assert result["validation_median"] > result["threshold"] > 0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: nearest_neighbors(normal((0, 2)), normal((3, 2))), "queries"),
        (lambda: nearest_neighbors(normal((2, 3)), normal((3, 2))), "queries"),
        (lambda: nearest_neighbors(np.full((2, 2), np.inf), normal((3, 2))), "queries"),
        (lambda: nearest_neighbors(normal((2, 2)), normal((0, 2))), "references"),
        (lambda: nearest_neighbors(normal((2, 2)), normal((3, 2)), 4), "k"),
        (lambda: nearest_neighbors(normal((2, 2)), normal((3, 2)), 0), "k"),
        (lambda: nearest_in_blocks(normal((2, 2)), [normal((3, 2))], 4), "k"),
        (lambda: nearest_in_blocks(normal((2, 2)), [], 1), "k"),
        (lambda: nearest_in_blocks(normal((2, 2)), [normal((3, 3))]), "queries"),
        (lambda: memorization(np.zeros(0), np.ones(1)), "sample_distances"),
        (lambda: memorization(np.ones(1), np.full(1, np.nan)), "validation_distances"),
        (lambda: memorization(np.ones(1), np.ones(1), 100.0), "percentile"),
    ],
)
def test_wrong_arguments_are_refused(call, field):
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert caught.value.field == field


def test_samples_at_the_threshold_are_not_below_it():
    assert memorization(np.ones(4), np.ones(9))["share_below"] == 0


def test_copies_are_near_although_validation_images_are_copies():
    """One validation image in ten is a training image: the 5th percentile is 0."""
    validation = np.concatenate([np.zeros(10), np.linspace(1, 2, 90)])
    found = memorization(np.array([0.0, 0.0, 0.0, 1.0]), validation)
    assert (found["threshold"], found["share_below"]) == (0.0, 0.75)
