"""Networks and training choices compared at equal training time.

    python -m benchmarks ablation --workdir=runs/ablation
        [--config=configs/fashion_mnist_small.py] [--minutes=30] [--seeds=0]
        [--only=NAME,...] [--num_samples=1024]

Duration: --minutes of training for each variant and seed, and their evaluation.

Writes: WORKDIR/ablation.json after every run, WORKDIR/ablation.md, two plots, the trained runs.

Each variant (ablation_variants.py) is the recipe with some settings changed. Forward pass, gradient
and training step of all variants are timed in turns, on a machine that should be idle. The time of
a step gives the number of steps that fill the minutes; other work later does not change results.
Then each variant is trained by the program itself, in a process and a folder of its own,
WORKDIR/NAME_SEED. Each trained energy is evaluated: the noise that it leaves in validation images
at each noise level, Fréchet distances of samples by several samplers, outlier detection.

The distances are in features of a small classifier that is trained here
(tf_mdsm/evaluation/classifier.py): they can be compared with each other only.

Training continues from the last checkpoint, and complete runs and kept samples are used again.
"""

import os

import numpy as np
from ml_collections import ConfigDict

from benchmarks.command import (
    chosen_names,
    load_tensorflow,
    new_parser,
    require_positive,
    run_benchmark,
)
from benchmarks.quality.ablation_report import tables, write_plots
from benchmarks.quality.ablation_variants import SAMPLERS, VARIANTS
from benchmarks.quality.equal_time_training import measure_costs, steps_in, train_in_process
from benchmarks.quality.trained_run import (
    FrechetDistance,
    load_trained_model,
    require_enough_samples,
)
from benchmarks.recipes import config_hash, load_recipe
from benchmarks.results import Results
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument, RunError

__all__ = ["evaluate", "main"]

# Noise levels and validation images at which each energy is evaluated.
_LEVELS, _IMAGES = 17, 512

# Images of a sampling batch.
_BATCH = 64


def evaluate(config: ConfigDict, folder: str, distance: FrechetDistance, num_samples: int) -> dict:
    """Evaluates a trained run.

    Returns:
        `validation_loss`, the mean over the noise levels of the squared residual, in pixels
        (whatever weights the run was trained with); `levels`, a row for each noise level;
        `samples`, samplers to their Fréchet distances and gradient evaluations; `outliers`.

    Raises:
        RunError: if the run is of another number of steps.
    """
    trained = load_trained_model(config, folder)
    if trained.step != config.training.num_steps:
        raise RunError(f"{folder}: at step {trained.step}, not {config.training.num_steps}")
    images = distance.validation_images[:_IMAGES]
    sigmas = np.geomspace(config.noise.sigma_min, config.noise.sigma_max, _LEVELS)
    rows = trained.denoising_rows(images, sigmas)
    pixels = int(np.prod(trained.model.image_shape))
    samples = {}
    for name, settings in SAMPLERS.items():
        settings = {"start": "gaussian", "batch_size": _BATCH, **settings}
        kept = trained.samples(settings, num_samples, os.path.join(folder, "drawn"))
        # An energy that was trained at too high a rate may lead anywhere.
        is_finite = kept["finite"].all()
        samples[name] = {
            "gradients": float(kept["gradients"].mean()),
            "distance": distance.of(kept["images"]) if is_finite else None,
        }
    return {
        "validation_loss": pixels * float(np.mean([row["residual"] for row in rows])),
        "levels": rows,
        "samples": samples,
        "outliers": trained.outlier_auroc(images),
    }


def measure(
    results: Results,
    base: ConfigDict,
    workdir: str,
    *,
    names: list[str],
    seeds: list[int],
    minutes: float,
    num_samples: int,
) -> list[str]:
    """Times, trains and evaluates all variants; returns the names of the rows in their order."""
    # Runs keep what their samplers start at: a mixture is fitted if sampling starts there.
    base = with_overrides(base, {"sampling.start": "mixture"})
    configs = {name: with_overrides(base, VARIANTS[name].overrides) for name in names}
    costs = measure_costs(configs, os.path.join(workdir, "costs.json"))
    distance = FrechetDistance(base, workdir)
    results.set_facts(
        validation_images=_IMAGES,
        features=distance.features,
        validation_distance=distance.of_validation_images(num_samples),
        overrides={name: VARIANTS[name].overrides for name in names},
        costs={name: costs[name] for name in names},
    )
    labels = []
    for seed in seeds:
        for name in names:
            num_steps = steps_in(minutes, costs[name]["step"])
            overrides = {"training.num_steps": num_steps, "seed": seed}
            config = with_overrides(configs[name], overrides)
            folder = os.path.join(workdir, f"{name}_{seed}")
            print(f"{name}, seed {seed}: {num_steps} steps", flush=True)
            training = train_in_process(config, folder)
            run = {"name": name, "seed": seed, "num_steps": num_steps, "training": training}
            run |= evaluate(config, folder, distance, num_samples)
            labels.append(f"{name}, seed {seed}" if len(seeds) > 1 else name)
            results.add(labels[-1], run)
            distances = {sampler: row["distance"] for sampler, row in run["samples"].items()}
            print(f"  loss {run['validation_loss']:.2f}, {distances}", flush=True)
    return labels


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("ablation", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of the runs and the results")
    parser.add_argument("--config", default="configs/fashion_mnist_small.py", help="recipe")
    parser.add_argument("--minutes", type=float, default=30.0, help="training time of a variant")
    parser.add_argument("--seeds", default="0", help="seeds of training, separated by commas")
    parser.add_argument("--only", help=f"variants by commas, among {', '.join(VARIANTS)}")
    parser.add_argument("--num_samples", type=int, default=1_024, help="samples of each sampler")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        names = chosen_names("--only", options.only, list(VARIANTS))
        if not all(seed.isdecimal() for seed in options.seeds.split(",")):
            raise InvalidArgument("--seeds", "be numbers separated by commas", options.seeds)
        require_positive("--minutes", options.minutes)
        require_enough_samples(options.num_samples)
        base = load_recipe(options.config)
        load_tensorflow()
        settings = {
            "config": options.config,
            "config_hash": config_hash(base),
            "minutes": options.minutes,
            "seeds": [int(seed) for seed in options.seeds.split(",")],
            "variants": names,
            "num_samples": options.num_samples,
        }
        with Results(os.path.join(options.workdir, "ablation.json"), settings) as results:
            labels = measure(
                results,
                base,
                options.workdir,
                names=names,
                seeds=settings["seeds"],
                minutes=options.minutes,
                num_samples=options.num_samples,
            )
            report = results.finish(labels)
            write_plots(report, os.path.join(options.workdir, "ablation"))
            results.write_table(tables(report))

    return run_benchmark("ablation", benchmark)
