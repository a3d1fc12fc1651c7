"""Nearest training images of samples and of the mixture where they start, for each Gaussian of it.

    python -m benchmarks memorization --workdir=RUN [--num_samples=1024]

Duration: that of sampling, and half a minute for each thousand images.

Writes: WORKDIR/benchmark/memorization.json and memorization.md.

WORKDIR is a trained run that samples from a mixture. Its samples, and the draws of the mixture
without noise at which they start, are compared with all training images, pixel by pixel. An image
is called near if it is nearer to its nearest training image than 95 % of the validation images are
to theirs. A model that copies has many near samples; so has a Gaussian that copies, among the
samples that start there. Samples are kept, and used again.
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


def rows_of_gaussians(
    gaussian: np.ndarray, is_near: np.ndarray, weights: np.ndarray
) -> list[dict[str, float]]:
    """Near images among those of each Gaussian.

    Args:
        gaussian: index of the Gaussian at which each image starts, int [N].
        is_near: whether it is near a training image, bool [N].
        weights: of the Gaussians, [K].

    Returns:
        for each Gaussian its `weight`, the number of `images` and of `near` ones among them, and
        the `probability` that at least so many are near if all Gaussians have the same share.
    """
    counts = np.bincount(gaussian, minlength=len(weights))
    near = np.bincount(gaussian[is_near], minlength=len(weights))
    probabilities = stats.binom.sf(near - 1, counts, is_near.mean())
    return [
        {"weight": float(w), "images": int(n), "near": int(k), "probability": float(p)}
        for w, n, k, p in zip(weights, counts, near, probabilities, strict=True)
    ]


def table(report: dict) -> str:
    """Markdown: a row for each set of images, then a row for each Gaussian."""
    sets = [["images", "n", "distance to the nearest training image, median", "near"]]
    for name, row in report["rows"].items():
        sets.append([name, str(row["n"]), f"{row['median']:.2f}", f"{100 * row['near']:.1f} %"])
    gaussians = [["Gaussian", "weight", "samples", "near samples", "near starts", "probability"]]
    both = zip(report["gaussians"]["samples"], report["gaussians"]["starts"], strict=True)
    for number, (samples, starts) in enumerate(both):
        gaussians.append(
            [
                str(number),
                f"{samples['weight']:.4f}",
                str(samples["images"]),
                str(samples["near"]),
                str(starts["near"]),
                f"{samples['probability']:.2g}",
            ]
        )
    return f"{markdown_table(sets)}\n{markdown_table(gaussians)}\n{report['summary']}\n"


def _summary(rows: list[dict[str, float]]) -> str:
    """The Gaussian whose near samples are the least probable, in a sentence."""
    number, row = min(enumerate(rows), key=lambda pair: pair[1]["probability"])
    expected = 1 - (1 - row["probability"]) ** len(rows)
    return (
        f"If all {len(rows)} Gaussians had the same share of near samples, one would have a count "
        f"as improbable as Gaussian {number} ({row['near']} of {row['images']}) in "
        f"{100 * expected:.2g} % of such runs. The smallest weight is "
        f"{min(row['weight'] for row in rows):.4f}."
    )


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("memorization", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument("--num_samples", type=int, default=1_024, help="number of samples")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        require_positive("--num_samples", options.num_samples)
        config = get_config(options.workdir)
        load_tensorflow()
        import tensorflow as tf

        from tf_mdsm.evaluation.memorization import memorization, nearest_neighbors
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
        with Results(os.path.join(folder, "memorization.json"), settings) as results:
            seeds = tf.range(options.num_samples, dtype=tf.int64) + config.sampling.seed
            crude = dataclasses.replace(start, sigma=0.0)
            images = {
                "validation images": validation[: options.num_samples],
                "starts": to_uint8(crude.noisy_images(seeds, run.target.image_shape).numpy()),
                "samples": trained.samples({}, options.num_samples, folder)["images"],
            }
            distances = {}
            for name, some in images.items():
                distances[name] = nearest_neighbors(some, training)[1][:, 0]
                found = memorization(distances[name], distances["validation images"])
                row = {"n": len(some), "median": found["median"], "near": found["share_below"]}
                results.add(name, row)
                print(f"{name:20} {found['median']:8.2f} {100 * found['share_below']:6.1f} %")
            threshold = found["threshold"]
            gaussian = start.gaussians_of(seeds).numpy()
            weights = start.weights / start.weights.sum()
            gaussians = {
                name: rows_of_gaussians(gaussian, distances[name] < threshold, weights)
                for name in ("starts", "samples")
            }
            summary = _summary(gaussians["samples"])
            print(summary)
            results.set_facts(threshold=threshold, gaussians=gaussians, summary=summary)
            results.write_table(table(results.finish(list(images))))

    return run_benchmark("memorization", benchmark)
