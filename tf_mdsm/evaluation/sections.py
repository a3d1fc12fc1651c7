"""The parts of an evaluation: metrics that say what they were made of, and pictures."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.evaluation.denoising import (
    STANDARD_DENOISERS,
    add_noise,
    denoising_rows,
    standard_rows,
)
from tf_mdsm.evaluation.feature_statistics import FeatureStatistics, fit_feature_statistics
from tf_mdsm.evaluation.features import Features
from tf_mdsm.evaluation.memorization import memorisation, nearest_neighbours
from tf_mdsm.evaluation.outliers import EnergyAndScoreFn, outlier_scores, separation
from tf_mdsm.evaluation.sample_quality import (
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
)
from tf_mdsm.evaluation.section import Metric, Part
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import plots

__all__ = [
    "evaluate_denoising",
    "evaluate_energies",
    "evaluate_memorization",
    "evaluate_outliers",
    "evaluate_quality",
]

# Images of a picture's grid, rows and columns of a picture of pairs.
_GRID, _ROWS, _COLUMNS = 64, 10, 6

# Images that a kernel distance, precision, recall and an inception score need.
_FEWEST = 10

# Below this many images the Fréchet distance says more of n than of the images.
_MANY = 10_000

# Neighbours whose distance is the radius of an image in precision and recall.
_NEIGHBOURS = 3


def evaluate_quality(
    features: Features,
    sets: dict[str, np.ndarray],
    reference: FeatureStatistics,
    reference_name: str,
    images: np.ndarray,
    images_name: str,
) -> Part:
    """Distances of sets of images, samples say, to reference images.

    Args:
        features: of images.
        sets: name to images [N, H, W, C] that are none of the reference images; what needs more
            than there are is left out.
        reference: of the reference images' features, for the Fréchet distance.
        reference_name: what it was made of.
        images: reference images, for what needs features one by one.
        images_name: which images they are.
    """
    theirs, _ = features.extract(images)
    by = {"features": features.name, "features_hash": features.fingerprint}
    metrics = []
    for of, shown in sets.items():
        ours, logits = features.extract(shown)
        common = {"of": of, "n": len(ours), **by}
        if len(ours) >= features.size:
            distance = frechet_distance(fit_feature_statistics([ours]), reference)
            found = {"name": "frechet_distance", "value": distance, **common}
            metrics.append(_warned({**found, "against": reference_name}))
        if len(ours) < _FEWEST:
            continue
        few = {**common, "against": images_name, "against_n": len(theirs)}
        size = min(1_000, len(ours), len(theirs))
        mean, std = kernel_distance(ours, theirs, subset_size=size)
        metrics.append({"name": "kernel_distance", "value": mean, "std": std, **few})
        shares = precision_and_recall(ours, theirs, _NEIGHBOURS)
        for name, value in zip(("precision", "recall"), shares, strict=True):
            metrics.append({"name": name, "value": value, **few})
        mean, std = inception_score(logits)
        metrics.append({"name": "inception_score", "value": mean, "std": std, **common})
    grids = {of: pictures.image_grid(_floats(shown[:_GRID])) for of, shown in sets.items()}
    return Part(metrics, {of.capitalize(): grid for of, grid in grids.items()})


def _warned(metric: Metric) -> Metric:
    if metric["n"] >= _MANY:
        return metric
    few = f"n = {metric['n']:,}: biased upwards, to be compared at the same n only"
    return {**metric, "warning": few}


def evaluate_memorization(
    samples: np.ndarray,
    training: np.ndarray,
    held_out: np.ndarray,
    features: Features | None,
) -> Part:
    """Samples beside the training images nearest to them, in pixels and in features.

    The samples shown are those that are nearest to a training image.
    """
    spaces = {"pixels": lambda images: images}
    if features is not None:
        spaces[features.name] = lambda images: features.extract(images)[0]
    metrics, shown = [], {}
    for space, place in spaces.items():
        references = place(training)
        indices, distances = nearest_neighbours(place(samples), references, _COLUMNS - 1)
        _, held_out_distances = nearest_neighbours(place(held_out), references)
        found = memorisation(distances[:, 0], held_out_distances[:, 0])
        common = {"n": len(samples), "against": "training images", "space": space}
        percentile = f"{found['percentile']:g}th percentile"
        metrics += [
            {"name": "nearest_distance", "value": found["median"], "of": "samples", **common},
            {
                "name": "nearest_distance",
                "value": found["held_out_median"],
                "of": "held-out images",
                **common,
                "n": len(held_out),
            },
            {
                "name": "share_nearer_than_held_out",
                "value": found["share_below"],
                "of": "samples",
                **common,
                "threshold": percentile,
            },
        ]
        nearest = np.argsort(distances[:, 0], kind="stable")[:_ROWS]
        rows = [
            np.concatenate([_floats(samples[number][None]), _floats(training[indices[number]])])
            for number in nearest
        ]
        grid = pictures.image_grid(np.concatenate(rows), columns=_COLUMNS)
        shown[f"Samples nearest to a training image, and their neighbours by {space}"] = grid
    return Part(metrics, shown)


def evaluate_energies(
    energy_fn: Callable[[tf.Tensor], tf.Tensor], sets: dict[str, np.ndarray]
) -> Part:
    """Energies of several sets of images, uint8 or float [N, H, W, C] each."""
    energies = {
        name: np.concatenate([np.asarray(energy_fn(batch), float) for batch in _batches(images)])
        for name, images in sets.items()
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
    return Part(metrics, {"Energies": plots.histograms(energies, "energy E(x)")})


def evaluate_outliers(
    energy_and_score_fn: EnergyAndScoreFn,
    sigma0: float,
    held_out: np.ndarray,
    foreign: dict[str, np.ndarray],
) -> Part:
    """How well the energy, and its gradient, tell foreign images from held-out ones."""
    inside = outlier_scores(energy_and_score_fn, held_out, sigma0)
    metrics, shown = [], {"held-out": _floats(held_out[:_ROWS])}
    for name, images in foreign.items():
        outside = outlier_scores(energy_and_score_fn, images, sigma0)
        shown[name] = _floats(images[:_ROWS])
        for score, values in inside.items():
            found = separation(values, outside[score])
            common = {"of": name, "n": len(images), "against": "held-out images"}
            common |= {"against_n": len(held_out), "score": score}
            metrics += [{"name": key, "value": value, **common} for key, value in found.items()]
    return Part(metrics, {"What the energy is to tell apart": plots.image_rows(shown)})


def evaluate_denoising(
    denoise_fn: Callable[[tf.Tensor], tf.Tensor],
    held_out: np.ndarray,
    sigmas: np.ndarray,
    seed: int,
) -> Part:
    """The blind denoiser against noise level, beside standard methods that are told the level."""
    ours = denoising_rows(denoise_fn, held_out, sigmas, seed)
    standard = standard_rows(held_out, sigmas, seed)
    methods = {name: [row[name] for row in standard] for name in STANDARD_DENOISERS}
    columns = {key: np.array([row[key] for row in ours]) for key in ours[0]}
    common = {"of": "held-out images", "n": len(held_out)}
    metrics = []
    for place, row in enumerate(ours):
        at = {**common, "sigma": row["sigma"]}
        metrics.append({"name": "denoising_psnr", "value": row["psnr"], "method": "D(x)", **at})
        for name, values in methods.items():
            psnr = {"name": "denoising_psnr", "value": values[place], "method": name}
            metrics.append({**psnr, **at})
        level = {"value": row["noise_level"], "std": row["noise_level_std"]}
        metrics.append({"name": "estimated_sigma", **level, **at})
    psnrs = {"D(x), blind": (sigmas, columns["psnr"]), "noisy": (sigmas, columns["noisy_psnr"])}
    psnrs |= {f"{name}, told sigma": (sigmas, values) for name, values in methods.items()}
    levels = {
        "estimated": (sigmas, columns["noise_level"], columns["noise_level_std"]),
        "true": (sigmas, sigmas),
    }
    axis = "noise level sigma, in pixel units"
    return Part(
        metrics,
        {
            "Denoising": plots.curves(psnrs, axis, "PSNR in dB", log_x=True),
            "Estimated noise level": plots.curves(levels, axis, "|x - D(x)| / sqrt(d)", True, True),
            "Clean, noisy, denoised": _strip(denoise_fn, held_out[:_ROWS], sigmas, seed),
        },
    )


def _strip(denoise_fn, images: np.ndarray, sigmas: np.ndarray, seed: int) -> np.ndarray:
    clean = _floats(images)
    rows = {"clean": clean}
    for sigma in sigmas[:: max(1, len(sigmas) // 3)]:
        noisy = add_noise(clean, sigma, seed)
        rows[f"noise {sigma:.2g}"] = noisy
        rows[f"D(x), {sigma:.2g}"] = np.asarray(denoise_fn(tf.constant(noisy)))
    return plots.image_rows(rows)


def _floats(images: np.ndarray) -> np.ndarray:
    return to_float(tf.constant(images)).numpy()


def _batches(images: np.ndarray, size: int = 256) -> list[tf.Tensor]:
    return [to_float(tf.constant(images[i : i + size])) for i in range(0, len(images), size)]
