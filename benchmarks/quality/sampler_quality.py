"""Quality of samples against their cost, for all samplers and starts.

    python -m benchmarks sampler_quality --workdir=runs/fashion_mnist_small
        [--num_samples=1024] [--only=NAME,...] [--guidance=1] [--guide_sigmas=LOW,HIGH]
        [--features=classifier,deep_classifier] [--seed=0] [--without_times]

Duration: not recorded; 64 images by the paper's sampler alone took 118 s on two CPU cores.

Writes: WORKDIR/benchmark/sampler_quality.json after every setting, sampler_quality.md and .png.

WORKDIR is a trained run. With --guidance=w its guide is used, in the steps from noise level LOW to
HIGH, or everywhere (0,0); without --guide_sigmas as in the run's own settings. The names of the
files tell w and the levels. Sample n has the seed --seed + n; the names tell a seed other than 0,
and another number of samples than 1,024.
For each setting below: the Fréchet distance of samples to the training images in each of the
--features, precision and recall in the first of them, the gradient evaluations of an image, and the
seconds of a batch of 64 images. All batches are timed one after the other, in one call. Classifiers
are trained here (tf_mdsm/evaluation/classifier.py): distances can be compared only with those in
features of the same classifier. Kept samples are used again.
"""

import contextlib
import os
import time

from benchmarks.command import chosen_names, load_tensorflow, new_parser, run_benchmark
from benchmarks.quality.trained_run import FrechetDistance, TrainedModel, load_trained_model
from benchmarks.results import Results, markdown_table
from tf_mdsm.config.file import get_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.system.atomic import atomic_write

__all__ = ["main", "settings", "table"]

# Images of a batch, and samples of a setting unless a flag says otherwise.
_BATCH, _NUM_SAMPLES = 64, 1_024

# Settings that all have, unless they name others; they do not depend on the run's own recipe.
_DEFAULTS = {
    "step_size": 0.02,
    "hot_steps": 500,
    "cooling_steps": 2_000,
    "final_steps": 200,
    "denoise": True,
    "batch_size": _BATCH,
}

# A tenth of the paper's steps, each longer by the square root of ten.
_SHORT_LANGEVIN = {
    "sampler": "annealed_langevin",
    "hot_steps": 50,
    "cooling_steps": 200,
    "final_steps": 20,
    "step_size": 0.02 * 10**0.5,
}

# Spacing of the two-step method's levels, as in configs/fashion_mnist_unet.py.
_MULTISTEP_RHO = 3.0

# Values of (beta, h0) for coarse-to-fine ascent.
_COARSE_TO_FINE = ((1.0, 0.03), (1.0, 0.01), (0.5, 0.03), (0.5, 0.01), (0.3, 0.01))


def settings() -> dict[str, dict]:
    """Names to fields of `config.sampling`; `end_share` is sigma_min over the trained one."""
    by_name: dict[str, dict] = {
        "paper's chain isotropic": {"sampler": "annealed_langevin", "start": "isotropic"},
    }
    for start in ("isotropic", "gaussian"):
        by_name[f"a tenth of the chain {start}"] = {**_SHORT_LANGEVIN, "start": start}
        for sampler, counts in (("heun", (4, 5, 9, 18)), ("ancestral", (9, 18, 35))):
            for count in counts:
                by_name[f"{sampler} {count} {start}"] = _by_levels(sampler, count, start)
        for beta, h0 in _COARSE_TO_FINE:
            by_name[f"coarse_to_fine beta {beta} h0 {h0} {start}"] = {
                "sampler": "coarse_to_fine",
                "beta": beta,
                "h0": h0,
                "max_steps": 200,
                "start": start,
            }
        for sampler, count in (("mala", 17), ("hmc", 9)):
            by_name[f"{sampler} {count} {start}"] = _by_levels(sampler, count, start)
    # Only in runs that keep a mixture of their training images.
    for count in (3, 4, 5, 9):
        by_name[f"heun {count} mixture"] = _by_levels("heun", count, "mixture")
    counts = (4, 5, 6, 7, 8, 11, 12)
    for count, start in ((6, "gaussian"), *((count, "mixture") for count in counts)):
        levels = _by_levels("multistep", count, start)
        by_name[f"multistep {count} {start}"] = levels | {"rho": _MULTISTEP_RHO}
    for count in (9, 18):
        churn = {"churn": count / 4}
        by_name[f"churned heun {count} gaussian"] = _by_levels("heun", count, "gaussian") | churn
    for share in (1.0, 0.3, 0.2, 0.05):
        end = {"end_share": share}
        name = f"heun 5 gaussian to {share} of the trained level"
        by_name[name] = _by_levels("heun", 5, "gaussian") | end
    return by_name


def _by_levels(sampler: str, num_levels: int, start: str) -> dict:
    return {"sampler": sampler, "num_levels": num_levels, "start": start}


def _sampling(trained: TrainedModel, fields: dict) -> dict:
    """All fields of `config.sampling` that a setting stands for."""
    fields = {**_DEFAULTS, **fields}
    fields["sigma_min"] = fields.pop("end_share", 0.0) * trained.config.noise.sigma_min
    return fields


def seconds_of_batch(trained: TrainedModel, fields: dict) -> float:
    """Seconds of sampling a batch of 64 images, without compilation."""
    from tf_mdsm.samplers.chain import compile_chain

    run = trained.with_sampling(_sampling(trained, fields))
    run_sampler = compile_chain(run.target, run.method)

    class Compiled(Exception):
        pass

    def stop(_: int) -> None:
        raise Compiled

    # The first call compiles: it is stopped after its first steps.
    with contextlib.suppress(Compiled):
        run_sampler(range(_BATCH), stop)
    begin = time.perf_counter()
    run_sampler(range(_BATCH))
    return time.perf_counter() - begin


def measure(
    results: Results,
    trained: TrainedModel,
    distances: dict[str, FrechetDistance],
    *,
    chosen: dict[str, dict],
    count: int,
    folder: str,
    with_times: bool,
) -> None:
    """Adds a row for each setting; then, unless left out, the times to all rows."""
    for name, fields in chosen.items():
        kept = trained.samples(_sampling(trained, fields), count, folder)
        precision, recall = next(iter(distances.values())).precision_and_recall(kept["images"])
        row = {
            "settings": fields,
            "gradients": float(kept["gradients"].mean()) * trained.run.networks,
            "distances": {key: distance.of(kept["images"]) for key, distance in distances.items()},
            "precision": precision,
            "recall": recall,
        }
        results.add(name, row)
        shown = " ".join(f"{value:8.2f}" for value in row["distances"].values())
        print(f"{name:45} {row['gradients']:8.1f} {shown}", flush=True)
    if with_times:
        for name, fields in chosen.items():
            seconds = seconds_of_batch(trained, fields)
            results.add(name, {**results.rows[name], "seconds": seconds})


def validation_row(distances: dict[str, FrechetDistance], count: int) -> dict:
    """The row of as many validation images, or of all if there are fewer."""
    first = next(iter(distances.values()))
    precision, recall = first.precision_and_recall(first.validation_images[:count])
    of_images = {name: each.of_validation_images(count) for name, each in distances.items()}
    return {"distances": of_images, "precision": precision, "recall": recall}


def table(report: dict) -> str:
    """Markdown: gradient evaluations, distances, precision, recall and seconds of each setting."""
    names = list(report["features"])
    rows = [
        [
            "sampler, start",
            "gradient evaluations an image",
            *(f"Fréchet distance, {name}" for name in names),
            "precision",
            "recall",
            "64 images, s",
        ]
    ]
    for name, row in [*report["rows"].items(), ("validation images", report["validation"])]:
        distances = [row["distances"][features] for features in names]
        rows.append(
            [
                name,
                f"{row['gradients']:.4g}" if "gradients" in row else "",
                *("" if distance is None else f"{distance:.2f}" for distance in distances),
                f"{row['precision']:.2f}",
                f"{row['recall']:.2f}",
                f"{row['seconds']:.2f}" if "seconds" in row else "",
            ]
        )
    return markdown_table(rows)


def write_plot(report: dict, path: str) -> None:
    """Distance against gradient evaluations: one line for each sampler and start.

    Of several features the first are shown.
    """
    from matplotlib.figure import Figure

    figure = Figure((9, 6), layout="constrained")
    axes = figure.subplots()
    features = next(iter(report["features"]))
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in report["rows"].values():
        kind = row["settings"]["sampler"], row["settings"]["start"]
        lines.setdefault(kind, []).append((row["gradients"], row["distances"][features]))
    samplers = dict.fromkeys(sampler for sampler, _ in lines)
    colors = {name: f"C{i}" for i, name in enumerate(samplers)}
    for (sampler, start), points in lines.items():
        is_isotropic = start == "isotropic"
        axes.plot(
            *zip(*sorted(points), strict=True),
            color=colors[sampler],
            linestyle="--" if is_isotropic else "-",
            marker="o",
            markerfacecolor="white" if is_isotropic else colors[sampler],
            label=f"{sampler}, {start} start",
        )
    floor = report["validation"]["distances"][features]
    if floor is not None:
        axes.axhline(floor, color="grey", linewidth=0.8, label="validation images")
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("gradient evaluations an image")
    axes.set_ylabel(f"Fréchet distance (features: {features})")
    axes.legend(fontsize="small")
    axes.grid(which="both", alpha=0.2)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)


def _two_numbers(text: str) -> tuple[float, float]:
    """Two numbers from "LOW,HIGH"."""
    low, high = map(float, text.split(","))
    return low, high


def _guide(guidance: float, sigmas: tuple[float, float] | None) -> tuple[dict, str]:
    """Settings of the guide, and the part of the files' names that tells them."""
    if guidance == 1:
        return {"guidance": 1.0}, ""
    changes, suffix = {"guidance": guidance}, f"_guidance_{guidance:g}"
    if sigmas is not None:
        names = ("sampling.guide_sigma_min", "sampling.guide_sigma_max")
        changes |= dict(zip(names, sigmas, strict=True))
        suffix += "_from_{:g}_to_{:g}".format(*sigmas)
    return changes, suffix


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("sampler_quality", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument(
        "--num_samples", type=int, default=_NUM_SAMPLES, help="samples of each setting"
    )
    parser.add_argument("--only", help="settings separated by commas; a wrong name lists all")
    parser.add_argument("--guidance", type=float, default=1.0, help="weight of a guided energy")
    parser.add_argument(
        "--guide_sigmas", type=_two_numbers, help="LOW,HIGH: noise levels at which the guide acts"
    )
    parser.add_argument(
        "--features", default="classifier", help="as evaluation.features; several by commas"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first sample")
    parser.add_argument("--without_times", action="store_true", help="do not time batches")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        known = settings()
        chosen = {name: known[name] for name in chosen_names("--only", options.only, list(known))}
        names = chosen_names("--features", options.features, ["classifier", "deep_classifier"])
        changes, suffix = _guide(options.guidance, options.guide_sigmas)
        changes["sampling.seed"] = options.seed
        suffix += f"_seed_{options.seed}" if options.seed else ""
        suffix += f"_n_{options.num_samples}" if options.num_samples != _NUM_SAMPLES else ""
        config = with_overrides(get_config(options.workdir), changes)
        is_in_range = config.guidance != 1 and config.sampling.guide_sigma_max
        if options.only is None and is_in_range:
            chosen = {n: row for n, row in chosen.items() if row["sampler"] != "coarse_to_fine"}
        load_tensorflow()
        from tf_mdsm.runs.loaded_run import fingerprint

        trained = load_trained_model(config, options.workdir, config.checkpoint)
        statistics = trained.run.statistics
        if options.only is None and not (statistics and statistics.mixture):
            chosen = {name: row for name, row in chosen.items() if row["start"] != "mixture"}
        distances = {}
        for name in names:
            own_config = with_overrides(config, {"evaluation.features": name})
            distances[name] = FrechetDistance(own_config, options.workdir)
            distances[name].require_enough(options.num_samples)
        folder = os.path.join(options.workdir, "benchmark")
        origin = {
            "step": trained.step,
            "weights": fingerprint({}, trained.model),
            "changes": changes,
            "num_samples": options.num_samples,
            "names": list(chosen),
            "features": names,
            "with_times": not options.without_times,
        }
        with Results(os.path.join(folder, f"sampler_quality{suffix}.json"), origin) as results:
            results.set_facts(
                features={name: distance.features for name, distance in distances.items()},
                validation=validation_row(distances, options.num_samples),
            )
            measure(
                results,
                trained,
                distances,
                chosen=chosen,
                count=options.num_samples,
                folder=folder,
                with_times=not options.without_times,
            )
            report = results.finish(list(chosen))
            write_plot(report, os.path.join(folder, f"sampler_quality{suffix}.png"))
            results.write_table(table(report))

    return run_benchmark("sampler_quality", benchmark)
