"""Memorization: nearest training images of samples, compared with those of validation images.

The search is exhaustive, by Euclidean distance in pixels or in any features.
"""

from collections.abc import Iterable

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["is_nearer", "memorization", "nearest_in_blocks", "nearest_neighbors"]

# Queries and references that are compared at a time: one block of distances takes 16 MB.
_QUERIES, _REFERENCES = 1_024, 4_096

# Candidates in addition to k whose distances are computed exactly.
_EXTRA_CANDIDATES = 16


def nearest_neighbors(
    queries: np.ndarray, references: np.ndarray, k: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the k references nearest to each query, nearest first; among equals, the first index.

    Matrix products in single precision find k + 16 candidates, whose distances are then computed
    from the differences. So a copy is at distance 0 exactly. The order is right unless more than
    16 other references are equally near in single precision.

    Args:
        queries: images or features, [N, ...]; uint8 is divided by 255.
        references: images or features likewise, [M, ...].
        k: number of neighbors of each query.

    Returns:
        indices into the references, int64 [N, k], and distances, float64 [N, k].

    Raises:
        InvalidArgument: for arrays of different shapes, numbers that are not finite, or k > M.
    """
    _require_finite("queries", queries)
    _require_finite("references", references)
    if queries.shape[1:] != references.shape[1:]:
        as_references = f"have the shape of the references, {references.shape[1:]}"
        raise InvalidArgument("queries", as_references, queries.shape[1:])
    if not 1 <= k <= len(references):
        raise InvalidArgument("k", f"lie in [1, {len(references)}], the references", k)
    # The mean of some references is subtracted, so that rounding errors are relative to distances
    # and not to a common offset.
    center = _flat(references[:: -(-len(references) // _REFERENCES)]).mean(axis=0)
    blocks = [
        _nearest_of_block(queries[first : first + _QUERIES], references, k, center)
        for first in range(0, len(queries), _QUERIES)
    ]
    indices, distances = zip(*blocks, strict=True)
    return np.concatenate(indices), np.concatenate(distances)


def nearest_in_blocks(
    queries: np.ndarray, references: Iterable[np.ndarray], k: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the same as `nearest_neighbors`, among references of which one block is held at a time.

    Args:
        queries: images or features, [N, ...].
        references: blocks of images or features likewise, [M_i, ...] each.
        k: number of neighbors of each query.

    Returns:
        indices into the references of all blocks, int64 [N, k], and distances, float64 [N, k].

    Raises:
        InvalidArgument: as `nearest_neighbors`.
    """
    indices, distances = np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0))
    count = 0
    for block in references:
        nearest, their_distances = nearest_neighbors(queries, block, min(k, len(block)))
        indices = np.concatenate([indices, count + nearest], axis=1)
        distances = np.concatenate([distances, their_distances], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        indices = np.take_along_axis(indices, order, axis=1)
        distances = np.take_along_axis(distances, order, axis=1)
        count += len(block)
    if not 1 <= k <= count:
        raise InvalidArgument("k", f"lie in [1, {count}], the references", k)
    return indices, distances


def memorization(
    sample_distances: np.ndarray, validation_distances: np.ndarray, percentile: float = 5.0
) -> dict[str, float]:
    """Tests whether samples lie nearer to the training images than validation images do.

    A model that has memorized the images generates samples at distance 0. A model that has
    learned the distribution generates about `percentile` % of its samples below that percentile
    of the validation images' distances. Blurred samples can lie near, too: look at the pairs.

    Args:
        sample_distances: distance of each sample to its nearest training image, [N].
        validation_distances: distance of each validation image to its nearest one, [M].
        percentile: percentile of the validation images' distances, in (0, 100).

    Returns:
        `median` and `validation_median` of the distances; `threshold`, the percentile of the
        validation images; `share_below`, the fraction of samples below it, or, if it is 0, of
        copies; `percentile`.

    Raises:
        InvalidArgument: for empty arrays, or a percentile out of its range.
    """
    if not 0 < percentile < 100:
        raise InvalidArgument("percentile", "lie in (0, 100)", percentile)
    _require_finite("sample_distances", sample_distances)
    _require_finite("validation_distances", validation_distances)
    threshold = np.percentile(validation_distances, percentile)
    is_near = is_nearer(sample_distances, threshold)
    return {
        "median": float(np.median(sample_distances)),
        "validation_median": float(np.median(validation_distances)),
        "threshold": float(threshold),
        "share_below": float(np.mean(is_near)),
        "percentile": float(percentile),
    }


def is_nearer(distances: np.ndarray, threshold: float) -> np.ndarray:
    """Whether images are nearer to the training images than a threshold, bool [N].

    A threshold of 0 means that some validation images are training images, too. Then copies count
    as nearer.
    """
    distances = np.asarray(distances)
    return distances < threshold if threshold > 0 else distances <= 0


def _require_finite(name: str, values: np.ndarray) -> None:
    if not len(values):
        raise InvalidArgument(name, "hold at least one", "none")
    for first in range(0, len(values), _REFERENCES):
        if not np.isfinite(values[first : first + _REFERENCES]).all():
            raise InvalidArgument(name, "hold finite numbers", "NaN or infinity")


def _nearest_of_block(
    queries: np.ndarray, references: np.ndarray, k: int, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest_neighbors` of a block of queries."""
    centered = _flat(queries) - center
    num_kept = min(k + _EXTRA_CANDIDATES, len(references))
    scores = np.zeros((len(centered), 0), np.float32)
    candidates = np.zeros((len(centered), 0), np.int64)
    for first in range(0, len(references), _REFERENCES):
        block = _flat(references[first : first + _REFERENCES]) - center
        # |x - y|^2 minus |x|^2, which is the same for all references.
        block_scores = np.einsum("ij,ij->i", block, block) - 2 * centered @ block.T
        indices = np.broadcast_to(np.arange(first, first + len(block)), block_scores.shape)
        scores = np.concatenate([scores, block_scores], axis=1)
        candidates = np.concatenate([candidates, indices], axis=1)
        if scores.shape[1] > num_kept:
            best = np.argpartition(scores, num_kept - 1, axis=1)[:, :num_kept]
            scores = np.take_along_axis(scores, best, axis=1)
            candidates = np.take_along_axis(candidates, best, axis=1)
    return _rank_exactly(queries, references, np.sort(candidates, axis=1), k)


def _rank_exactly(
    queries: np.ndarray, references: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest among each query's candidates, [N, num_kept] in ascending order."""
    indices = np.zeros((len(queries), k), np.int64)
    distances = np.zeros((len(queries), k))
    for row, (query, own_candidates) in enumerate(zip(queries, candidates, strict=True)):
        differences = _flat(references[own_candidates], np.float64) - _flat(query[None], np.float64)
        exact = np.linalg.norm(differences, axis=1)
        order = np.argsort(exact, kind="stable")[:k]
        indices[row], distances[row] = own_candidates[order], exact[order]
    return indices, distances


def _flat(values: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Images or features as vectors, [N, d]; uint8 pixels as numbers in [0, 1]."""
    # The division is in single precision, so that float32 images in [0, 1] equal uint8 ones.
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    return values.reshape(len(values), -1).astype(dtype)
