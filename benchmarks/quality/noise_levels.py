"""One noise level against many: the paper's central claim as an experiment.

    python -m benchmarks.quality.noise_levels --workdir=runs/noise_levels
        [--config=configs/digits_resnet.py] [--num_steps=N] [--num_samples=256]

Trains the recipe four times, alike but for its noise: with its smallest level alone, with the
geometric middle alone, with its largest alone, and with all its levels. Then each energy is asked
about held-out images under noise of the whole range, |x - D|^2 / (d sigma^2), and for samples from
noise by the same samplers: one level trains the gradient on one shell round the images only, and a
chain from noise to images has to cross all shells. Fréchet distances are in the features of a
small classifier that is trained here (tf_mdsm/evaluation/classifier.py): compare them with each
other only.

Twenty minutes for the digits on two busy CPU cores; what came of it stands in docs/noise_levels.md.
Each run is a folder in WORKDIR, goes on where it stands, and is not trained again when done; what
has been drawn is not drawn again. Writes WORKDIR/noise_levels.{json,md,png} and
WORKDIR/noise_levels_residuals.png.

Source: Li, Chen and Sommer, "Learning Energy-Based Models in High-Dimensional Spaces with
Multi-scale Denoising Score Matching" (arXiv 1910.07762), section 3.
"""

import argparse
import json
import os
import sys

import numpy as np
from ml_collections import ConfigDict

from benchmarks.recipes import load_recipe, with_fields
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

# Noise levels at which each energy is asked, an odd number: the middle is one of them.
_LEVELS = 17

# Features of the classifier: their covariance takes as many images.
_FEATURES = 64

# Images of a row of the picture.
_SHOWN = 20

# All start at noise: the training images' Gaussian would tell the chain half of what it is to
# find out. The last one shows how much.
_SAMPLERS = {
    "annealed Langevin": {"sampler": "annealed_langevin", "start": "isotropic"},
    "Heun": {"sampler": "heun", "num_levels": 18, "start": "isotropic"},
    "Heun, Gaussian start": {"sampler": "heun", "num_levels": 18, "start": "gaussian"},
}


def prepare(config: ConfigDict, num_steps: int | None) -> ConfigDict:
    """A recipe's configuration, with another number of steps where one is given.

    Raises:
        InvalidArgument: if the recipe has one noise level only.
    """
    if config.noise.num_levels < 2:
        raise InvalidArgument("--config", "be a recipe of several noise levels", "one")
    return config if num_steps is None else with_fields(config, {"training.num_steps": num_steps})


def variants(config: ConfigDict) -> dict[str, ConfigDict]:
    """Names to configurations that differ in their noise levels only.

    All sample over the recipe's range, which a run of one level does not know by itself.
    """
    noise = config.noise
    middle = float(np.sqrt(noise.sigma_min * noise.sigma_max))
    singles = {"small": noise.sigma_min, "middle": middle, "large": noise.sigma_max}
    shared = {"sampling.sigma_min": noise.sigma_min, "sampling.sigma_max": noise.sigma_max}
    found = {}
    for name, sigma in singles.items():
        one = {"noise.sigma_min": sigma, "noise.sigma_max": sigma, "noise.num_levels": 1}
        found[name] = with_fields(config, {**shared, **one})
    found["many"] = with_fields(config, shared)
    return found


def label(noise: ConfigDict) -> str:
    """What a run was trained on, in words."""
    if noise.num_levels == 1:
        return f"one level, {noise.sigma_min:.3g}"
    return f"{noise.num_levels} levels, {noise.sigma_min:.3g} … {noise.sigma_max:.3g}"


def measure(
    config: ConfigDict, workdir: str, held_out: np.ndarray, sigmas: np.ndarray, num_samples: int
) -> tuple[list[dict], dict[str, dict[str, np.ndarray]]]:
    """What a trained run makes of noisy images and of noise.

    Returns:
        `denoising_rows` over the levels `sigmas`, and for each sampler `images`, uint8
        [N, H, W, C], and `finite` [N], whether the chain stayed finite.

    Raises:
        RunError: if its training was stopped before its end.
    """
    import tensorflow as tf

    from benchmarks.samples import draw
    from tf_mdsm.datasets.image_statistics import load_statistics
    from tf_mdsm.evaluation.denoising import denoising_rows
    from tf_mdsm.runs import build_model as build
    from tf_mdsm.training.checkpoints import restore_weights

    model = build.build_model(config)
    step = restore_weights(os.path.join(workdir, "checkpoints"), model)
    if step != config.training.num_steps:
        raise RunError(f"{workdir}: stopped at step {step}; run again to continue")
    statistics = load_statistics(build.statistics_path(workdir))
    spec = tf.TensorSpec([None, *model.image_shape])
    denoise = tf.function(model.denoise, input_signature=[spec], autograph=False)
    rows = denoising_rows(denoise, held_out, sigmas)
    drawn = {}
    for name, fields in _SAMPLERS.items():
        sampling = with_fields(config, {f"sampling.{key}": value for key, value in fields.items()})
        folder = os.path.join(workdir, "drawn")
        drawn[name] = draw(sampling, model, statistics, num_samples, folder)
    return rows, drawn


def compare(config: ConfigDict, workdir: str, num_samples: int) -> tuple[dict, dict]:
    """Trains what is not trained yet, and measures all.

    Returns:
        the report, and rows of images by their labels.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tune_process()
    with quiet_stderr():
        import tensorflow as tf

    from tf_mdsm.evaluation.feature_statistics import fit_feature_statistics
    from tf_mdsm.evaluation.sample_quality import frechet_distance
    from tf_mdsm.runs import build_model as build
    from tf_mdsm.runs.build_evaluation import build_features, build_reference
    from tf_mdsm.runs.train import train
    from tf_mdsm.visualization.images import to_uint8

    # Keras warns of every new prediction function, one for each set of features.
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    training, held_out = build.build_images(config)
    os.makedirs(workdir, exist_ok=True)
    features = build_features(config, workdir, training, held_out)
    reference = build_reference(config, workdir, features, training)

    def distance(images: np.ndarray) -> float | None:
        # Of chains that broke off there may be too few.
        if len(images) < features.size:
            return None
        ours, _ = features.extract(images)
        return frechet_distance(fit_feature_statistics([ours]), reference)

    looked_at = held_out[: config.training.validation_images]
    sigmas = np.geomspace(config.noise.sigma_min, config.noise.sigma_max, _LEVELS)
    shown = held_out if held_out.dtype == np.uint8 else to_uint8(held_out)
    images, found = {"held-out images": shown[:_SHOWN]}, []
    for name, changed in variants(config).items():
        print(f"{name}: {label(changed.noise)}", flush=True)
        folder = os.path.join(workdir, name)
        train(changed, folder)
        rows, drawn = measure(changed, folder, looked_at, sigmas, num_samples)
        samplers = {}
        for sampler, result in drawn.items():
            images[f"{label(changed.noise)}: {sampler}"] = result["images"][:_SHOWN]
            samplers[sampler] = {
                "distance": distance(result["images"][result["finite"]]),
                "not_finite": int((~result["finite"]).sum()),
            }
            print(f"  {sampler}: {samplers[sampler]}", flush=True)
        trained = {"name": name, "trained_on": label(changed.noise)}
        found.append({**trained, "levels": rows, "samplers": samplers})
    report = {
        "num_steps": config.training.num_steps,
        "num_samples": num_samples,
        "held_out_images": len(looked_at),
        "features": f"{features.name}, {features.fingerprint}",
        "held_out_distance": distance(held_out[:num_samples]),
        "runs": found,
    }
    return report, images


def table(report: dict) -> str:
    """Markdown: a run a line, what it leaves of the noise, and its samples' distances."""
    runs = report["runs"]
    sigmas = [row["sigma"] for row in runs[0]["levels"]]
    places = (0, len(sigmas) // 2, len(sigmas) - 1)
    heads = [f"left at sigma {sigmas[place]:.3g}" for place in places]
    heads = ["trained on", *heads, "mean over the range", *runs[0]["samplers"]]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for run in runs:
        left = [row["residual"] for row in run["levels"]]
        cells = [f"{value:.3g}" for value in (*(left[place] for place in places), np.mean(left))]
        cells += [_distance_cell(result) for result in run["samplers"].values()]
        lines.append(f"| {' | '.join([run['trained_on'], *cells])} |")
    floor = _distance_cell({"distance": report["held_out_distance"], "not_finite": 0})
    cells = ["held-out images", *[""] * (len(places) + 1), *[floor] * len(runs[0]["samplers"])]
    return "\n".join([*lines, f"| {' | '.join(cells)} |", ""])


def _distance_cell(result: dict) -> str:
    lost = f" ({result['not_finite']} not finite)" if result["not_finite"] else ""
    return ("none" if result["distance"] is None else f"{result['distance']:.3g}") + lost


def write(report: dict, images: dict[str, np.ndarray], workdir: str) -> None:
    """Numbers, table and two pictures."""
    from tf_mdsm.visualization import images as pictures
    from tf_mdsm.visualization import plots

    stem = os.path.join(workdir, "noise_levels")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(table(report))
    rows = {name: values / np.float32(255) for name, values in images.items()}
    pictures.write_png(plots.image_rows(rows), f"{stem}.png")
    lines = {
        run["trained_on"]: tuple(
            np.array([row[field] for row in run["levels"]]) for field in ("sigma", "residual")
        )
        for run in report["runs"]
    }
    sigmas = next(iter(lines.values()))[0]
    lines["nothing done"] = (sigmas, np.ones(len(sigmas)))
    axes = ("noise level sigma of held-out images", "left of the noise, |x - D|^2 / (d sigma^2)")
    picture = plots.curves(lines, *axes, log_x=True, log_y=True)
    pictures.write_png(picture, f"{stem}_residuals.png")


def main(argv: list[str]) -> int:
    """Parses the command line, trains, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.noise_levels")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--config", default="configs/digits_resnet.py")
    parser.add_argument("--num_steps", type=int)
    parser.add_argument("--num_samples", type=int, default=256)
    options = parser.parse_args(argv[1:])
    try:
        if options.num_samples < _FEATURES:
            at_least = f"be at least the number of features ({_FEATURES})"
            raise InvalidArgument("--num_samples", at_least, options.num_samples)
        config = prepare(load_recipe(options.config), options.num_steps)
        report, images = compare(config, options.workdir, options.num_samples)
    except (InvalidArgument, RunError) as error:
        print(f"noise_levels: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    except KeyboardInterrupt:
        print("noise_levels: interrupted; run again to continue", file=sys.stderr)
        return 130
    write(report, images, options.workdir)
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
