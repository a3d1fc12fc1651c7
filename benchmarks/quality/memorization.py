"""Nearest training images of samples and of the mixture where they start, for each Gaussian of it.

    python -m benchmarks memorization --workdir=RUN [--num_samples=1024]

Duration: that of sampling, and a minute for Fashion-MNIST on one core of an AMD EPYC.

Writes: WORKDIR/benchmark/memorization.json and memorization.md; with another number of samples than
1,024 the names tell it.

WORKDIR is a trained run that samples from a mixture. Its samples, and the draws of the mixture
without noise, are compared with all training images, pixel by pixel. An image is called near if it
is nearer to its nearest training image than 95 % of the validation images are to theirs. In some
Gaussians validation images are often near. So samples are also compared with the validation images
that most probably belong to the same Gaussian: a model that copies there has more near samples.
Samples are kept, and used again.
"""

import dataclasses
import os

import numpy as np
from scipy import stats

from benchmarks.command import load_tensorflow, new_parser, require_positive, run_benchmark
from benchmarks.quality.trained_run import load_trained_model
from benchmarks.results import Results, markdown_table
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument

__all__ = ["main", "rows_of_gaussians", "table"]

_NUM_SAMPLES = 1_024

# The sets of images, in the order of the tables.
_VALIDATION, _STARTS, _SAMPLES = "validation images", "the mixture alone", "samples"


def rows_of_gaussians(
    gaussians: dict[str, np.ndarray], is_near: dict[str, np.ndarray], number: int
) -> list[dict]:
    """Near images of each set among those of each Gaussian.

    Args:
        gaussians: sets to the index of the Gaussian of each image, int [N].
        is_near: sets to whether each image is near a training image, bool [N].
        number: number of Gaussians.

    Returns:
        for each Gaussian the numbers of `images` and of `near` ones of each set, and the
        `probability` that as many samples are near, or more, if they are as often near as the
        validation images of this Gaussian (Fisher's exact test, one-sided).
    """
    images = {name: np.bincount(of, minlength=number) for name, of in gaussians.items()}
    near = {
        name: np.bincount(of[is_near[name]], minlength=number) for name, of in gaussians.items()
    }
    rows = []
    for k in range(number):
        counts = {name: (int(near[name][k]), int(images[name][k])) for name in images}
        pairs = [[n, count - n] for n, count in (counts[_SAMPLES], counts[_VALIDATION])]
        rows.append(
            {
                "near": {name: n for name, (n, _) in counts.items()},
                "images": {name: count for name, (_, count) in counts.items()},
                "probability": float(stats.fisher_exact(pairs, alternative="greater").pvalue),
            }
        )
    return rows


def table(report: dict) -> str:
    """Markdown: a row for each set of images, then a row for each Gaussian."""
    sets = [["images", "n", "distance to the nearest training image, median", "near"]]
    for name, row in report["rows"].items():
        sets.append([name, str(row["n"]), f"{row['median']:.2f}", f"{100 * row['near']:.1f} %"])
    names = list(report["rows"])
    gaussians = [["Gaussian", *(f"{name}: near, of" for name in names), "probability"]]
    for number, row in enumerate(report["gaussians"]):
        counts = (f"{row['near'][name]}, {row['images'][name]}" for name in names)
        gaussians.append([str(number), *counts, f"{row['probability']:.2g}"])
    return f"{markdown_table(sets)}\n{markdown_table(gaussians)}\n{report['summary']}\n"


def _summary(rows: list[dict]) -> str:
    """The Gaussian whose near samples are the least probable, in a sentence."""
    number, row = min(enumerate(rows), key=lambda pair: pair[1]["probability"])
    (near, images), (near_validation, validation) = (
        (row["near"][name], row["images"][name]) for name in (_SAMPLES, _VALIDATION)
    )
    any_such = 1 - (1 - row["probability"]) ** len(rows)
    return (
        f"Least probable is Gaussian {number}: {near} of {images} samples are near, and "
        f"{near_validation} of {validation} validation images. If samples were as often near as "
        f"validation images in all {len(rows)} Gaussians, one would be as improbable in "
        f"{100 * any_such:.3g} % of such runs."
    )


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("memorization", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument("--num_samples", type=int, default=_NUM_SAMPLES, help="number of samples")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        require_positive("--num_samples", options.num_samples)
        config = get_config(options.workdir)
        load_tensorflow()
        import tensorflow as tf

        from tf_mdsm.evaluation.memorization import is_nearer, memorization, nearest_neighbors
        from tf_mdsm.runs.build_data import build_images
        from tf_mdsm.samplers.starts import MixtureStart
        from tf_mdsm.visualization.images import to_uint8

        trained = load_trained_model(config, options.workdir, config.checkpoint)
        run, start = trained.run, trained.run.method.start
        if not isinstance(start, MixtureStart):
            field = "config.sampling.start"
            raise InvalidArgument(field, "be mixture for this benchmark", config.sampling.start)
        training, validation = build_images(config)
        folder = os.path.join(options.workdir, "benchmark")
        settings = {
            "step": run.step,
            "weights": run.weights_hash,
            "num_samples": options.num_samples,
            "seed": config.sampling.seed,
        }
        number = "" if options.num_samples == _NUM_SAMPLES else f"_n_{options.num_samples}"
        with Results(os.path.join(folder, f"memorization{number}.json"), settings) as results:
            seeds = tf.range(options.num_samples, dtype=tf.int64) + config.sampling.seed
            crude = dataclasses.replace(start, sigma=0.0)
            images = {
                _VALIDATION: validation,
                _STARTS: to_uint8(crude.noisy_images(seeds, run.target.image_shape).numpy()),
                _SAMPLES: trained.samples({}, options.num_samples, folder)["images"],
            }
            statistics, distances, gaussians = run.statistics, {}, {}
            for name, some in images.items():
                distances[name] = nearest_neighbors(some, training)[1][:, 0]
                gaussians[name] = statistics.mixture.gaussians_of(
                    some, statistics.mean, statistics.components
                )
                found = memorization(distances[name], distances[_VALIDATION])
                row = {"n": len(some), "median": found["median"], "near": found["share_below"]}
                results.add(name, row)
                print(f"{name:20} {found['median']:8.2f} {100 * found['share_below']:6.1f} %")
            threshold = found["threshold"]
            is_near = {name: is_nearer(of, threshold) for name, of in distances.items()}
            rows = rows_of_gaussians(gaussians, is_near, len(start.weights))
            summary = _summary(rows)
            print(summary)
            results.set_facts(threshold=threshold, gaussians=rows, summary=summary)
            results.write_table(table(results.finish(list(images))))

    return run_benchmark("memorization", benchmark)
