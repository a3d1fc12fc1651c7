"""Nearest neighbours in the training set, and whether samples lie nearer to it than new images.

Exhaustive search by Euclidean distance, in pixels or in any features.
"""

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["memorisation", "nearest_neighbours"]

# Rows that are compared at a time: one block of distances takes 16 MB.
_QUERIES, _REFERENCES = 1_024, 4_096

# Candidates beyond k that are compared exactly.
_SPARE = 16


def nearest_neighbours(
    queries: np.ndarray, references: np.ndarray, k: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The k references nearest to each query, nearest first; of equals, the first in order.

    Matrix products in single precision find k + 16 candidates, whose distances are then computed
    from the differences: so a copy is at distance 0 exactly, and the order is right unless more
    than 16 others are as near as single precision can tell.

    Args:
        queries: images or features, [N, ...]; uint8 counts 255 levels.
        references: likewise, [M, ...].
        k: neighbours of each.

    Returns:
        indices into the references, int64 [N, k], and distances, float64 [N, k].

    Raises:
        InvalidArgument: for arrays that do not fit each other or are not finite, or k > M.
    """
    _require_finite("queries", queries)
    _require_finite("references", references)
    if queries.shape[1:] != references.shape[1:]:
        as_references = f"have the shape of the references, {references.shape[1:]}"
        raise InvalidArgument("queries", as_references, queries.shape[1:])
    if not 1 <= k <= len(references):
        raise InvalidArgument("k", f"lie in [1, {len(references)}], the references", k)
    # About their middle, so that rounding is that of distances and not of a common offset.
    centre = _flat(references[:: -(-len(references) // _REFERENCES)]).mean(axis=0)
    parts = [
        _nearest_of_block(queries[first : first + _QUERIES], references, k, centre)
        for first in range(0, len(queries), _QUERIES)
    ]
    indices, distances = zip(*parts, strict=True)
    return np.concatenate(indices), np.concatenate(distances)


def memorisation(
    sample_distances: np.ndarray, held_out_distances: np.ndarray, percentile: float = 5.0
) -> dict[str, float]:
    """Whether samples lie nearer to the training images than new images of the same kind do.

    A model that has learned the images by heart draws samples at distance 0; one that has
    learned the distribution has about `percentile` % of its samples below that percentile of
    the held-out images' distances. Blurred samples too may lie near: look at the pairs.

    Args:
        sample_distances: of each sample to its nearest training image, [N].
        held_out_distances: of each held-out image to its own, [M].
        percentile: of the held-out images' distances, in (0, 100).

    Returns:
        `median` and `held_out_median` of the distances; `threshold`, the percentile of the
        held-out ones; `share_below`, the share of samples nearer than that; `percentile`.

    Raises:
        InvalidArgument: for no distances, or a percentile out of its range.
    """
    if not 0 < percentile < 100:
        raise InvalidArgument("percentile", "lie in (0, 100)", percentile)
    _require_finite("sample_distances", sample_distances)
    _require_finite("held_out_distances", held_out_distances)
    threshold = np.percentile(held_out_distances, percentile)
    return {
        "median": float(np.median(sample_distances)),
        "held_out_median": float(np.median(held_out_distances)),
        "threshold": float(threshold),
        "share_below": float(np.mean(np.asarray(sample_distances) < threshold)),
        "percentile": float(percentile),
    }


def _require_finite(name: str, values: np.ndarray) -> None:
    if not len(values):
        raise InvalidArgument(name, "hold at least one", "none")
    for first in range(0, len(values), _REFERENCES):
        if not np.isfinite(values[first : first + _REFERENCES]).all():
            raise InvalidArgument(name, "hold finite numbers", "NaN or infinity")


def _nearest_of_block(
    queries: np.ndarray, references: np.ndarray, k: int, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    ours = _flat(queries) - centre
    kept = min(k + _SPARE, len(references))
    nearness, candidates = np.zeros((len(ours), 0), np.float32), np.zeros((len(ours), 0), np.int64)
    for first in range(0, len(references), _REFERENCES):
        theirs = _flat(references[first : first + _REFERENCES]) - centre
        # |x - y|^2 less |x|^2, which is the same for all references.
        squares = np.einsum("ij,ij->i", theirs, theirs) - 2 * ours @ theirs.T
        numbers = np.broadcast_to(np.arange(first, first + len(theirs)), squares.shape)
        nearness = np.concatenate([nearness, squares], axis=1)
        candidates = np.concatenate([candidates, numbers], axis=1)
        if nearness.shape[1] > kept:
            best = np.argpartition(nearness, kept - 1, axis=1)[:, :kept]
            nearness = np.take_along_axis(nearness, best, axis=1)
            candidates = np.take_along_axis(candidates, best, axis=1)
    return _ranked_exactly(queries, references, np.sort(candidates, axis=1), k)


def _ranked_exactly(
    queries: np.ndarray, references: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest among each query's candidates, [N, kept] in ascending order."""
    indices = np.zeros((len(queries), k), np.int64)
    distances = np.zeros((len(queries), k))
    for row, (query, own) in enumerate(zip(queries, candidates, strict=True)):
        differences = _flat(references[own], np.float64) - _flat(query[None], np.float64)
        exact = np.linalg.norm(differences, axis=1)
        order = np.argsort(exact, kind="stable")[:k]
        indices[row], distances[row] = own[order], exact[order]
    return indices, distances


def _flat(values: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    # Divided in single precision, so that float32 images in [0, 1] are copies of uint8 ones.
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    return values.reshape(len(values), -1).astype(dtype)
