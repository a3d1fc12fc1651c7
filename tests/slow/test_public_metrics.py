"""Distances and scores equal those of public programs on the same features."""

import numpy as np
import pytest

from tests.helpers.features import fit, normal
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
)


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
