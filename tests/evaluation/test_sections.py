"""The sections of an evaluation: which numbers they hold, under which conditions, and pictures."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.features import fit
from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.synthetic import blobs
from tf_mdsm.evaluation import sections
from tf_mdsm.evaluation.denoising import BASELINE_DENOISERS
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
)


def features_of(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four features and three logits: sums over some pixels."""
    flat = images.reshape(len(images), 4, -1).astype(float)
    return flat.sum(-1), flat[:, :3].mean(-1) / 50


EXTRACTOR = FeatureExtractor("sums", "0123abcd", 4, features_of)


def quadratic(images):
    """E = |x|^2 / 2, whose score is -x."""
    return tf.reduce_sum(images**2, (1, 2, 3)) / 2, -images


def values(section, **conditions) -> list:
    """The values of all metrics with these conditions."""
    return [
        metric["value"]
        for metric in section.metrics
        if all(metric.get(key) == value for key, value in conditions.items())
    ]


def assert_pictures(section, captions: list[str]) -> None:
    assert list(section.pictures) == captions
    for picture in section.pictures.values():
        assert picture.dtype == np.uint8
        assert picture.std() > 0


def quality_of(**image_sets):
    reference = random_uint8(40, 4, 4, 1)
    return sections.evaluate_quality(
        EXTRACTOR,
        image_sets,
        reference=fit(features_of(reference)[0]),
        reference_name="all images",
        reference_images=reference[:30],
        reference_images_name="some images",
    )


def test_quality_compares_each_set_with_the_reference():
    """The Fréchet distance by statistics, the other metrics by the features of some images."""
    samples, reference = random_uint8(12, 4, 4, 1, seed=1), random_uint8(40, 4, 4, 1)
    section = quality_of(samples=samples)
    (ours, logits), (theirs, _) = features_of(samples), features_of(reference[:30])
    expected = {
        "frechet_distance": frechet_distance(fit(ours), fit(features_of(reference)[0])),
        "kernel_distance": kernel_distance(ours, theirs, subset_size=6)[0],
        "precision": precision_and_recall(ours, theirs, 3)[0],
        "recall": precision_and_recall(ours, theirs, 3)[1],
        "inception_score": inception_score(logits)[0],
    }
    assert {metric["name"]: metric["value"] for metric in section.metrics} == expected
    for metric in section.metrics:
        assert (metric["of"], metric["n"]) == ("samples", 12)
        assert (metric["features"], metric["features_hash"]) == ("sums", "0123abcd")
    assert values(section, against="all images") == [expected["frechet_distance"]]
    assert len(values(section, against="some images", against_n=30)) == 3
    assert_pictures(section, ["Samples"])


def test_quality_leaves_out_metrics_that_need_more_images(monkeypatch):
    """A Fréchet distance of few images comes with a warning."""
    section = quality_of(few=random_uint8(3, 4, 4, 1), some=random_uint8(9, 4, 4, 1))
    assert [(m["name"], m["of"]) for m in section.metrics] == [("frechet_distance", "some")]
    assert "n = 9: biased upwards" in section.metrics[0]["warning"]
    monkeypatch.setattr(sections, "_MIN_UNBIASED", 9)
    (metric,) = quality_of(some=random_uint8(9, 4, 4, 1)).metrics
    assert "warning" not in metric


def test_the_deviation_of_the_kernel_distance_is_that_over_sets_of_images():
    """Forty sets of 64 images, whose features are normal and lie elsewhere than the reference's.

    The deviation over so many sets errs by a ninth, that of one set by a quarter or so.
    """
    generator = np.random.default_rng(0)
    found = []
    for _ in range(40):
        ours, theirs = generator.normal(1, 1, (64, 4)), generator.normal(0, 1, (64, 4))
        metrics = sections._feature_metrics(ours, theirs, {})
        found.append(next(m for m in metrics if m["name"] == "kernel_distance"))
    over_sets = np.std([metric["value"] for metric in found])
    assert np.mean([metric["std"] for metric in found]) == pytest.approx(over_sets, rel=0.35)


def test_memorization_in_pixels_and_in_features():
    """Copies are at distance 0; images of other colors are far from all training images."""
    training, validation = random_uint8(30, 4, 4, 1), random_uint8(20, 4, 4, 1, seed=1)
    section = sections.evaluate_memorization(
        samples=training[:8], training=training, validation=validation, extractor=EXTRACTOR
    )
    for space in ("pixels", "sums"):
        common = {"space": space, "against": "training images"}
        nearest = {"name": "nearest_distance", **common}
        assert values(section, **nearest, of="samples", n=8) == [0]
        (distance,) = values(section, **nearest, of="validation images", n=20)
        assert distance > 0
        share = {"name": "share_nearer_than_held_out", "threshold": "5th percentile", **common}
        assert values(section, **share, of="samples", n=8) == [1]
    caption = "Samples nearest to a training image, and their nearest training images by"
    assert_pictures(section, [f"{caption} pixels", f"{caption} sums"])
    without_features = sections.evaluate_memorization(
        samples=training[:8], training=training, validation=validation, extractor=None
    )
    assert without_features.metrics == section.metrics[:3]


def test_training_images_are_compared_in_blocks_of_features(monkeypatch):
    """Each is looked at once; the numbers are those of all at once."""
    sizes = []

    def counted(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(images))
        return features_of(images)

    images = {"training": random_uint8(30, 4, 4, 1), "validation": random_uint8(6, 4, 4, 1, seed=1)}
    extractor = FeatureExtractor("sums", "0123abcd", 4, counted)
    samples = random_uint8(5, 4, 4, 1, seed=2)
    whole = sections.evaluate_memorization(samples=samples, extractor=extractor, **images)
    monkeypatch.setattr(sections, "_REFERENCES", 8)
    sizes.clear()
    section = sections.evaluate_memorization(samples=samples, extractor=extractor, **images)
    assert sizes == [5, 6, 8, 8, 8, 6]
    assert section.metrics == whole.metrics
    for caption, picture in whole.pictures.items():
        np.testing.assert_array_equal(section.pictures[caption], picture)


def test_energies_of_several_sets():
    """Over more than one batch; of bytes as of numbers in [0, 1]."""
    images = random_uint8(300, 2, 2, 1)
    section = sections.evaluate_energies(
        lambda x: quadratic(x)[0], {"bytes": images, "ones": np.ones((5, 2, 2, 1), np.float32)}
    )
    expected = ((images / 255) ** 2).sum((1, 2, 3)) / 2
    assert section.metrics == [
        {
            "name": "energy",
            "value": pytest.approx(expected.mean(), rel=1e-6),
            "std": pytest.approx(expected.std(), rel=1e-6),
            "of": "bytes",
            "n": 300,
        },
        {"name": "energy", "value": 2.0, "std": 0.0, "of": "ones", "n": 5},
    ]
    assert_pictures(section, ["Energies"])


def test_brighter_images_are_outliers_of_a_quadratic_energy():
    """And darker ones are not, so that their area is 0."""
    validation = 0.4 + np.random.default_rng(0).uniform(0, 0.1, (12, 4, 4, 1))
    section = sections.evaluate_outliers(
        quadratic,
        sigma0=0.1,
        validation=validation,
        outliers={"brighter": validation[:6] + 0.4, "darker": validation[:7] - 0.4},
        other_scores={"sum": lambda images: images.sum((1, 2, 3))},
    )
    for score in ("energy", "gradient_norm", "noise_level", "sum"):
        common = {"score": score, "against": "validation images", "against_n": 12}
        assert values(section, name="auroc", of="brighter", n=6, **common) == [1]
        assert values(section, name="auroc", of="darker", n=7, **common) == [0]
        assert values(section, name="aupr", of="brighter", **common) == [1]
    assert len(section.pictures) == 1


def test_denoising_beside_methods_that_are_given_the_noise_level():
    """D(x) = x removes nothing, and estimates the noise level 0."""
    images, sigmas = blobs(4, 12, 1), np.array([0.1, 0.4])
    section = sections.evaluate_denoising(lambda x: x, validation=images, sigmas=sigmas, seed=0)
    for sigma in sigmas:
        common = {"of": "validation images", "n": 4, "sigma": sigma}
        assert values(section, name="estimated_sigma", **common) == [0]
        psnrs = {
            method: values(section, name="denoising_psnr", method=method, **common)[0]
            for method in ("D(x)", *BASELINE_DENOISERS)
        }
        assert min(psnrs[method] for method in BASELINE_DENOISERS) > psnrs["D(x)"] + 1
    assert_pictures(section, ["Denoising", "Estimated noise level", "Clean, noisy, denoised"])
