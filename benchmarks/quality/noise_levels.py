"""One noise level compared with many: the paper's central claim as an experiment.

    python -m benchmarks noise_levels --workdir=runs/noise_levels
        [--config=configs/digits_resnet.py] [--num_steps=N] [--num_samples=256]

Duration: 20 minutes for the digits, on two busy CPU cores.

Writes: WORKDIR/noise_levels.json after every run, WORKDIR/noise_levels.md, two pictures, four runs.

The recipe is trained four times, with nothing changed but its noise levels: the smallest level
alone, the geometric middle alone, the largest alone, and all levels. Each energy is evaluated on
validation images under noise of the whole range: |x - D|^2 / (d sigma^2). Each energy is also
sampled from noise by the same samplers: noise of one level lies on one shell around the images, so
one level trains the gradient there only, but sampling from noise crosses all shells.

Fréchet distances are in features of a small classifier that is trained here
(tf_mdsm/evaluation/classifier.py): they can be compared with each other only. Results that were
measured are in docs/results/noise_levels.md.

Each run has a folder in WORKDIR. Training continues from the last checkpoint, and complete runs and
kept samples are used again.

Source: Li, Chen and Sommer, "Learning Energy-Based Models in High-Dimensional Spaces with
Multi-scale Denoising Score Matching" (arXiv 1910.07762), section 3.
"""

import os

import numpy as np
from ml_collections import ConfigDict

from benchmarks.command import load_tensorflow, new_parser, run_benchmark
from benchmarks.quality.trained_run import (
    FrechetDistance,
    TrainedModel,
    load_trained_model,
    require_enough_samples,
)
from benchmarks.recipes import config_hash, load_recipe
from benchmarks.results import Results, markdown_table
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument, RunError

__all__ = ["label", "main", "prepare", "table", "variants"]

# Noise levels at which each energy is evaluated; odd, so that the middle is one of them.
_LEVELS = 17

# Images in a row of the picture.
_IMAGES_IN_ROW = 20

# All start at isotropic noise but the last: a Gaussian start already holds the images' mean and
# covariance. The last sampler shows how much that gains.
_SAMPLERS = {
    "annealed Langevin": {"sampler": "annealed_langevin", "start": "isotropic"},
    "Heun": {"sampler": "heun", "num_levels": 18, "start": "isotropic"},
    "Heun, Gaussian start": {"sampler": "heun", "num_levels": 18, "start": "gaussian"},
}


def prepare(config: ConfigDict, num_steps: int | None) -> ConfigDict:
    """A recipe's configuration, with another number of training steps if one is given.

    Raises:
        InvalidArgument: if the recipe has one noise level only.
    """
    if config.noise.num_levels < 2:
        raise InvalidArgument("--config", "be a recipe of several noise levels", "one")
    if num_steps is None:
        return config
    return with_overrides(config, {"training.num_steps": num_steps})


def variants(config: ConfigDict) -> dict[str, ConfigDict]:
    """Names to configurations that differ in their noise levels only.

    All of them sample over the recipe's range of noise.
    """
    noise = config.noise
    middle = float(np.sqrt(noise.sigma_min * noise.sigma_max))
    singles = {"small": noise.sigma_min, "middle": middle, "large": noise.sigma_max}
    shared = {"sampling.sigma_min": noise.sigma_min, "sampling.sigma_max": noise.sigma_max}
    configs = {}
    for name, sigma in singles.items():
        one = {"noise.sigma_min": sigma, "noise.sigma_max": sigma, "noise.num_levels": 1}
        configs[name] = with_overrides(config, {**shared, **one})
    configs["many"] = with_overrides(config, shared)
    return configs


def label(noise: ConfigDict) -> str:
    """The noise levels that a run is trained with, in words."""
    if noise.num_levels == 1:
        return f"one level, {noise.sigma_min:.3g}"
    return f"{noise.num_levels} levels, {noise.sigma_min:.3g} … {noise.sigma_max:.3g}"


def train_variant(config: ConfigDict, folder: str) -> TrainedModel:
    """Trains a variant, unless its run is complete, and loads its model.

    Raises:
        RunError: if training was stopped before its end.
    """
    from tf_mdsm.runs.train import train

    train(config, folder)
    trained = load_trained_model(config, folder)
    if trained.step != config.training.num_steps:
        raise RunError(f"{folder}: stopped at step {trained.step}; run again to continue")
    return trained


def evaluate_samplers(
    trained: TrainedModel, folder: str, distance: FrechetDistance, num_samples: int
) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
    """Samples a trained energy by all samplers.

    Returns:
        samplers to the Fréchet `distance` of the finite samples (None if they are too few) and
        to the number of samples that are `not_finite`; samplers to their first images.
    """
    results, images = {}, {}
    for sampler, settings in _SAMPLERS.items():
        kept = trained.samples(settings, num_samples, os.path.join(folder, "drawn"))
        finite = kept["finite"]
        results[sampler] = {
            "distance": distance.of(kept["images"][finite]),
            "not_finite": int((~finite).sum()),
        }
        images[sampler] = kept["images"][:_IMAGES_IN_ROW]
        print(f"  {sampler}: {results[sampler]}", flush=True)
    return results, images


def measure(
    results: Results, config: ConfigDict, workdir: str, num_samples: int
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Trains and evaluates all variants.

    Returns:
        the names of the results' rows, and rows of images by their labels.
    """
    from tf_mdsm.visualization.images import to_uint8

    distance = FrechetDistance(config, workdir)
    validation_images = distance.validation_images
    evaluated_images = validation_images[: config.training.validation_images]
    sigmas = np.geomspace(config.noise.sigma_min, config.noise.sigma_max, _LEVELS)
    results.set_facts(
        num_steps=config.training.num_steps,
        validation_images=len(evaluated_images),
        features=distance.features,
        validation_distance=distance.of_validation_images(num_samples),
    )
    shown = validation_images[:_IMAGES_IN_ROW]
    pictures = {"validation images": shown if shown.dtype == np.uint8 else to_uint8(shown)}
    configs = variants(config)
    for name, variant in configs.items():
        trained_on = label(variant.noise)
        print(f"{name}: {trained_on}", flush=True)
        folder = os.path.join(workdir, name)
        trained = train_variant(variant, folder)
        rows = trained.denoising_rows(evaluated_images, sigmas)
        samplers, images = evaluate_samplers(trained, folder, distance, num_samples)
        pictures |= {f"{trained_on}: {sampler}": row for sampler, row in images.items()}
        results.add(name, {"trained_on": trained_on, "levels": rows, "samplers": samplers})
    return list(configs), pictures


def table(report: dict) -> str:
    """Markdown: for each run the noise that it leaves and its samples' distances."""
    runs = list(report["rows"].values())
    sigmas = [row["sigma"] for row in runs[0]["levels"]]
    shown_levels = (0, len(sigmas) // 2, len(sigmas) - 1)
    headings = [f"left at sigma {sigmas[index]:.3g}" for index in shown_levels]
    rows = [["trained on", *headings, "mean over the range", *runs[0]["samplers"]]]
    for run in runs:
        residuals = [row["residual"] for row in run["levels"]]
        values = [*(residuals[index] for index in shown_levels), np.mean(residuals)]
        distances = [_distance_cell(result) for result in run["samplers"].values()]
        rows.append([run["trained_on"], *(f"{value:.3g}" for value in values), *distances])
    floor = _distance_cell({"distance": report["validation_distance"], "not_finite": 0})
    empty = [""] * (len(shown_levels) + 1)
    rows.append(["validation images", *empty, *[floor] * len(runs[0]["samplers"])])
    return markdown_table(rows)


def _distance_cell(result: dict) -> str:
    count = f" ({result['not_finite']} not finite)" if result["not_finite"] else ""
    return ("none" if result["distance"] is None else f"{result['distance']:.3g}") + count


def write_pictures(report: dict, samples: dict[str, np.ndarray], stem: str) -> None:
    """Writes `STEM.png`, samples, and `STEM_residuals.png`, the noise left at each level."""
    from tf_mdsm.visualization.images import write_png
    from tf_mdsm.visualization.plots import curves, image_rows

    rows = {name: values / np.float32(255) for name, values in samples.items()}
    write_png(image_rows(rows), f"{stem}.png")
    lines = {
        run["trained_on"]: tuple(
            np.array([row[field] for row in run["levels"]]) for field in ("sigma", "residual")
        )
        for run in report["rows"].values()
    }
    sigmas = next(iter(lines.values()))[0]
    lines["nothing done"] = (sigmas, np.ones(len(sigmas)))
    axes = (
        "noise level sigma of validation images",
        "left of the noise, |x - D|^2 / (d sigma^2)",
    )
    picture = curves(lines, *axes, log_x=True, log_y=True)
    write_png(picture, f"{stem}_residuals.png")


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("noise_levels", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of the runs and the results")
    parser.add_argument("--config", default="configs/digits_resnet.py", help="recipe")
    parser.add_argument("--num_steps", type=int, help="training steps, if not the recipe's")
    parser.add_argument("--num_samples", type=int, default=256, help="samples of each sampler")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        require_enough_samples(options.num_samples)
        config = prepare(load_recipe(options.config), options.num_steps)
        load_tensorflow()
        stem = os.path.join(options.workdir, "noise_levels")
        settings = {
            "config": options.config,
            "config_hash": config_hash(config),
            "num_samples": options.num_samples,
        }
        with Results(f"{stem}.json", settings) as results:
            names, images = measure(results, config, options.workdir, options.num_samples)
            report = results.finish(names)
            write_pictures(report, images, stem)
            results.write_table(table(report))

    return run_benchmark("noise_levels", benchmark)
