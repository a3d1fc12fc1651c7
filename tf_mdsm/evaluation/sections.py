"""The sections of an evaluation: metrics with their conditions, and pictures."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float, to_float_array
from tf_mdsm.evaluation.denoising import (
    BASELINE_DENOISERS,
    add_noise,
    baseline_rows,
    denoising_rows,
)
from tf_mdsm.evaluation.feature_statistics import FeatureStatistics, fit_feature_statistics
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.memorization import (
    memorization,
    nearest_in_blocks,
    nearest_neighbors,
)
from tf_mdsm.evaluation.out_of_distribution import (
    EnergyAndScoreFn,
    detection_metrics,
    detection_scores,
)
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
)
from tf_mdsm.evaluation.section_files import Metric, Section
from tf_mdsm.visualization.images import image_grid
from tf_mdsm.visualization.plots import curves, histograms, image_rows

__all__ = [
    "evaluate_denoising",
    "evaluate_energies",
    "evaluate_memorization",
    "evaluate_outliers",
    "evaluate_quality",
]

# Images of a grid; rows of pictures with several images a row; images a row of neighbors.
_GRID_IMAGES, _ROWS, _NEIGHBOR_COLUMNS = 64, 10, 6

# Kernel distance, precision, recall and inception score are left out for fewer images.
_MIN_IMAGES = 10

# Below this number of images the Fréchet distance comes with a warning about its bias.
_MIN_UNBIASED = 10_000

# Images of a subset of the kernel distance, at most. Subsets of half of the images vary about as
# much as sets of all of them; larger ones have most images in common, and vary less.
_SUBSET = 1_000

# Training images whose features are held at a time (64 MB of Inception's).
_REFERENCES = 8_192

# The distance to this neighbor is the radius of an image in precision and recall.
_NEIGHBORS = 3


def evaluate_quality(
    extractor: FeatureExtractor,
    image_sets: dict[str, np.ndarray],
    *,
    reference: FeatureStatistics,
    reference_name: str,
    reference_images: np.ndarray,
    reference_images_name: str,
) -> Section:
    """Compares sets of images, such as samples, with reference images.

    Args:
        extractor: features of images.
        image_sets: name to images, [N, H, W, C], without the reference images. Metrics that need
            more images than a set has are left out.
        reference: feature statistics of the reference images, for the Fréchet distance.
        reference_name: what the statistics were computed from.
        reference_images: reference images for the metrics that need their single features.
        reference_images_name: which images these are.
    """
    reference_features, _ = extractor.extract(reference_images)
    metrics = []
    for name, images in image_sets.items():
        features, logits = extractor.extract(images)
        common = {"of": name, "n": len(features)}
        common |= {"features": extractor.name, "features_hash": extractor.fingerprint}
        if len(features) >= extractor.size:
            distance = frechet_distance(fit_feature_statistics([features]), reference)
            metrics.append(
                {
                    "name": "frechet_distance",
                    "value": distance,
                    **common,
                    "against": reference_name,
                    **_bias_warning(len(features)),
                }
            )
        if len(features) >= _MIN_IMAGES:
            against = {"against": reference_images_name, "against_n": len(reference_features)}
            metrics += _feature_metrics(features, reference_features, {**common, **against})
            mean, std = inception_score(logits)
            metrics.append({"name": "inception_score", "value": mean, "std": std, **common})
    grids = {
        name.capitalize(): image_grid(to_float_array(images[:_GRID_IMAGES]))
        for name, images in image_sets.items()
    }
    return Section(metrics, grids)


def _bias_warning(count: int) -> dict[str, str]:
    """A `warning` for a Fréchet distance of few images."""
    if count >= _MIN_UNBIASED:
        return {}
    return {"warning": f"n = {count:,}: biased upwards, to be compared at the same n only"}


def _feature_metrics(
    features: np.ndarray, reference_features: np.ndarray, conditions: Metric
) -> list[Metric]:
    """Kernel distance, precision and recall of features [N, d] and reference features [M, d]."""
    subset_size = min(_SUBSET, len(features) // 2, len(reference_features) // 2)
    mean, std = kernel_distance(features, reference_features, subset_size=subset_size)
    precision, recall = precision_and_recall(features, reference_features, _NEIGHBORS)
    return [
        {"name": "kernel_distance", "value": mean, "std": std, **conditions},
        {"name": "precision", "value": precision, **conditions},
        {"name": "recall", "value": recall, **conditions},
    ]


def evaluate_memorization(
    *,
    samples: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    extractor: FeatureExtractor | None,
) -> Section:
    """Compares samples with the training images nearest to them, in pixels and in features.

    The pictures show the samples that are nearest to a training image, with their neighbors.

    Args:
        samples: generated images, [N, H, W, C].
        training: training images, [M, H, W, C].
        validation: images of the same kind that were not used for training, [V, H, W, C].
        extractor: features of images; None: pixels only.
    """
    num_neighbors = _NEIGHBOR_COLUMNS - 1
    indices, distances = nearest_neighbors(samples, training, num_neighbors)
    _, validation_distances = nearest_neighbors(validation, training)
    metrics, grids = _memorization_in(
        "pixels", samples, training, indices, distances[:, 0], validation_distances[:, 0]
    )
    if extractor is not None:
        # Both sets at once, so that the features of the training images are computed once.
        queries = np.concatenate([extractor.extract(images)[0] for images in (samples, validation)])
        references = (
            extractor.extract(training[first : first + _REFERENCES])[0]
            for first in range(0, len(training), _REFERENCES)
        )
        indices, distances = nearest_in_blocks(queries, references, num_neighbors)
        of_samples, of_validation = np.split(distances[:, 0], [len(samples)])
        feature_metrics, feature_grids = _memorization_in(
            extractor.name, samples, training, indices, of_samples, of_validation
        )
        metrics, grids = metrics + feature_metrics, {**grids, **feature_grids}
    return Section(metrics, grids)


def _memorization_in(
    space: str,
    samples: np.ndarray,
    training: np.ndarray,
    indices: np.ndarray,
    distances: np.ndarray,
    validation_distances: np.ndarray,
) -> tuple[list[Metric], dict[str, np.ndarray]]:
    """Metrics and a picture by Euclidean distances in one space.

    Args:
        space: name of the space.
        samples: generated images, [N, H, W, C].
        training: training images, [M, H, W, C].
        indices: the training images nearest to each sample, nearest first, [N or more, k].
        distances: of each sample to its nearest training image, [N].
        validation_distances: of each validation image to its nearest training image, [V].
    """
    comparison = memorization(distances, validation_distances)
    common = {"n": len(samples), "against": "training images", "space": space}
    metrics = [
        {"name": "nearest_distance", "value": comparison["median"], "of": "samples", **common},
        {
            "name": "nearest_distance",
            "value": comparison["validation_median"],
            "of": "validation images",
            **common,
            "n": len(validation_distances),
        },
        {
            "name": "share_nearer_than_held_out",
            "value": comparison["share_below"],
            "of": "samples",
            **common,
            "threshold": f"{comparison['percentile']:g}th percentile",
        },
    ]
    nearest = np.argsort(distances, kind="stable")[:_ROWS]
    rows = [
        np.concatenate(
            [to_float_array(samples[sample][None]), to_float_array(training[indices[sample]])]
        )
        for sample in nearest
    ]
    grid = image_grid(np.concatenate(rows), columns=_NEIGHBOR_COLUMNS)
    caption = f"Samples nearest to a training image, and their nearest training images by {space}"
    return metrics, {caption: grid}


def evaluate_energies(
    energy_fn: Callable[[tf.Tensor], tf.Tensor], image_sets: dict[str, np.ndarray]
) -> Section:
    """Compares the energies of several sets of images.

    Args:
        energy_fn: images, float32 [B, H, W, C], to energies [B].
        image_sets: name to images, uint8 or float in [0, 1], [N, H, W, C].
    """
    energies = {
        name: np.concatenate([np.asarray(energy_fn(batch), float) for batch in _batches(images)])
        for name, images in image_sets.items()
    }
    metrics = [
        {
            "name": "energy",
            "value": float(values.mean()),
            "std": float(values.std()),
            "of": name,
            "n": len(values),
        }
        for name, values in energies.items()
    ]
    return Section(metrics, {"Energies": histograms(energies, "energy E(x)")})


def evaluate_outliers(
    energy_and_score_fn: EnergyAndScoreFn,
    *,
    sigma0: float | None,
    validation: np.ndarray,
    outliers: dict[str, np.ndarray],
    other_scores: Mapping[str, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> Section:
    """Detects out-of-distribution images by the energy, the norm of its gradient, other scores.

    Args:
        energy_and_score_fn: images, float32 [B, H, W, C], to E(x) [B] and -dE/dx [B, H, W, C].
        sigma0: the kernel width in D(x) = x - sigma0^2 dE/dx, in pixel units; None if D is no
            denoiser: then no noise levels are estimated.
        validation: validation images, the inliers, [N, H, W, C].
        outliers: name to out-of-distribution images, [M, H, W, C].
        other_scores: name to functions of images, float32 [N, H, W, C], that are large for
            outliers, [N].
    """

    def scores_of(images: np.ndarray) -> dict[str, np.ndarray]:
        others = {
            name: score(to_float_array(images)) for name, score in (other_scores or {}).items()
        }
        return {**detection_scores(energy_and_score_fn, images, sigma0), **others}

    inlier_scores = scores_of(validation)
    metrics, rows = [], {"validation": to_float_array(validation[:_ROWS])}
    for name, images in outliers.items():
        outlier_scores = scores_of(images)
        rows[name] = to_float_array(images[:_ROWS])
        for score, values in inlier_scores.items():
            areas = detection_metrics(values, outlier_scores[score])
            common = {"of": name, "n": len(images), "against": "validation images"}
            common |= {"against_n": len(validation), "score": score}
            metrics += [{"name": key, "value": value, **common} for key, value in areas.items()]
    caption = "Validation images, and out-of-distribution images to be detected by the energy"
    return Section(metrics, {caption: image_rows(rows)})


def evaluate_denoising(
    denoise_fn: Callable[[tf.Tensor], tf.Tensor],
    *,
    validation: np.ndarray,
    sigmas: np.ndarray,
    seed: int,
) -> Section:
    """Compares the blind denoiser D(x) with methods that are given the noise level.

    Args:
        denoise_fn: D, float32 [B, H, W, C] to the same.
        validation: clean images, [N, H, W, C].
        sigmas: noise levels, in pixel units, [K].
        seed: seed of the noise.
    """
    rows = denoising_rows(denoise_fn, validation, sigmas, seed)
    baselines = baseline_rows(validation, sigmas, seed)
    common = {"of": "validation images", "n": len(validation)}
    metrics = []
    for row, baseline in zip(rows, baselines, strict=True):
        conditions = {**common, "sigma": row["sigma"]}
        psnrs = {"D(x)": row["psnr"]}
        psnrs |= {method: baseline[method] for method in BASELINE_DENOISERS}
        metrics += [
            {"name": "denoising_psnr", "value": psnr, "method": method, **conditions}
            for method, psnr in psnrs.items()
        ]
        level = {"value": row["noise_level"], "std": row["noise_level_std"]}
        metrics.append({"name": "estimated_sigma", **level, **conditions})
    examples = _denoised_examples(denoise_fn, validation[:_ROWS], sigmas, seed)
    return Section(
        metrics, {**_denoising_plots(rows, baselines), "Clean, noisy, denoised": examples}
    )


def _denoising_plots(
    rows: list[dict[str, float]], baselines: list[dict[str, float]]
) -> dict[str, np.ndarray]:
    """Curves of PSNR and of the estimated noise level over the noise level, by caption."""
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    sigmas = columns["sigma"]
    psnrs = {"D(x), blind": (sigmas, columns["psnr"]), "noisy": (sigmas, columns["noisy_psnr"])}
    for method in BASELINE_DENOISERS:
        psnr = np.array([baseline[method] for baseline in baselines])
        psnrs[f"{method}, given sigma"] = (sigmas, psnr)
    levels = {
        "estimated": (sigmas, columns["noise_level"], columns["noise_level_std"]),
        "true": (sigmas, sigmas),
    }
    axis = "noise level sigma, in pixel units"
    return {
        "Denoising": curves(psnrs, axis, "PSNR in dB", log_x=True),
        "Estimated noise level": curves(
            levels, axis, "|x - D(x)| / sqrt(d)", log_x=True, log_y=True
        ),
    }


def _denoised_examples(
    denoise_fn: Callable[[tf.Tensor], tf.Tensor],
    images: np.ndarray,
    sigmas: np.ndarray,
    seed: int,
) -> np.ndarray:
    """A picture of clean images, and of noisy and denoised ones at three or four noise levels."""
    clean = to_float_array(images)
    rows = {"clean": clean}
    for sigma in sigmas[:: max(1, len(sigmas) // 3)]:
        noisy = add_noise(clean, sigma, seed)
        rows[f"noise {sigma:.2g}"] = noisy
        rows[f"D(x), {sigma:.2g}"] = np.asarray(denoise_fn(tf.constant(noisy)))
    return image_rows(rows)


def _batches(images: np.ndarray, size: int = 256) -> Iterator[tf.Tensor]:
    """Images, uint8 or float in [0, 1], as float32 batches."""
    for first in range(0, len(images), size):
        yield to_float(tf.constant(images[first : first + size]))
