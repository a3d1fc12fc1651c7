"""Quality of samples against their cost: every sampler, from both starts.

    python -m benchmarks.quality.sampler_quality --workdir=runs/fashion_mnist_small
        [--num_samples=1024] [--only=NAME,...] [--without_times]

Draws images with each setting below, and reports the Fréchet distance of their features to those
of the training images beside the gradients that an image took, and the seconds of a batch of 64,
all timed in one run. The features are those of a small classifier that is trained here
(tf_mdsm/evaluation/classifier.py): compare these numbers with each other only. What has been
drawn is kept and not drawn again. Writes WORKDIR/benchmark/sampler_quality.{json,md,png}.
"""

import argparse
import contextlib
import json
import os
import sys
import time

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

_BATCH = 64

_SHORT_CHAIN = {
    "sampler": "annealed_langevin",
    "hot_steps": 50,
    "cooling_steps": 200,
    "final_steps": 20,
    "step_size": 0.02 * 10**0.5,
}


def settings() -> dict[str, dict]:
    """Names to fields of `config.sampling`; `end_share` is sigma_min over the trained one."""
    found = {
        "paper's chain isotropic": {"sampler": "annealed_langevin", "start": "isotropic"},
    }
    for start in ("isotropic", "gaussian"):
        shared = {"start": start}
        found[f"a tenth of the chain {start}"] = {**_SHORT_CHAIN, **shared}
        for levels in (4, 5, 9, 18):
            found[f"heun {levels} {start}"] = {
                "sampler": "heun",
                "num_levels": levels,
                **shared,
            }
        for levels in (9, 18, 35):
            found[f"ancestral {levels} {start}"] = {
                "sampler": "ancestral",
                "num_levels": levels,
                **shared,
            }
        for beta, h0 in ((1.0, 0.03), (1.0, 0.01), (0.5, 0.03), (0.5, 0.01), (0.3, 0.01)):
            found[f"coarse_to_fine beta {beta} h0 {h0} {start}"] = {
                "sampler": "coarse_to_fine",
                "beta": beta,
                "h0": h0,
                "max_steps": 200,
                **shared,
            }
        for name, levels in (("mala", 17), ("hmc", 9)):
            found[f"{name} {levels} {start}"] = {"sampler": name, "num_levels": levels, **shared}
    for levels in (9, 18):
        found[f"churned heun {levels} gaussian"] = {
            "sampler": "heun",
            "num_levels": levels,
            "churn": levels / 4,
            "start": "gaussian",
        }
    for share in (1.0, 0.3, 0.2, 0.05):
        found[f"heun 5 gaussian to {share} of the trained level"] = {
            "sampler": "heun",
            "num_levels": 5,
            "start": "gaussian",
            "end_share": share,
        }
    return found


class Bench:
    """Images of a run's energy by settings, with what they cost.

    Raises:
        InvalidArgument: if the workdir holds no run with labelled data.
    """

    def __init__(self, workdir: str):
        self._workdir, self.folder = workdir, os.path.join(workdir, "benchmark")
        self.config = get_config(workdir)
        with quiet_stderr():
            import tensorflow as tf

        from tf_mdsm.datasets.image_statistics import load_statistics
        from tf_mdsm.runs import build_model as build
        from tf_mdsm.runs.build_evaluation import build_features, build_reference
        from tf_mdsm.training.checkpoints import restore_weights

        tf.config.experimental.enable_tensor_float_32_execution(False)
        training, self._held_out = build.build_images(self.config)
        self._model = build.build_model(self.config)
        self.step = restore_weights(
            os.path.join(workdir, "checkpoints"), self._model, self.config.checkpoint
        )
        self._statistics = load_statistics(build.statistics_path(workdir))
        os.makedirs(self.folder, exist_ok=True)
        self.features = build_features(self.config, workdir, training, self._held_out)
        self._reference = build_reference(self.config, workdir, self.features, training)

    def distance(self, images: np.ndarray) -> float:
        from tf_mdsm.evaluation.feature_statistics import fit_feature_statistics
        from tf_mdsm.evaluation.sample_quality import frechet_distance

        ours, _ = self.features.extract(images)
        return frechet_distance(fit_feature_statistics([ours]), self._reference)

    def require_enough(self, count: int) -> None:
        """Refuses fewer samples than features."""
        from tf_mdsm.runs.build_evaluation import require_enough

        require_enough(self.features, count, "--num_samples")

    def floor(self, count: int) -> float | None:
        """The distance of as many held-out images (all, if there are fewer); None if these are
        fewer than features."""
        images = self._held_out[:count]
        return self.distance(images) if len(images) >= self.features.size else None

    def draw(self, fields: dict, count: int) -> dict[str, np.ndarray]:
        """`images`, uint8 [count, H, W, C], and the `gradients` that each took, [count]."""
        from benchmarks.samples import draw

        changed = _with(self.config, fields)
        return draw(changed, self._model, self._statistics, count, self.folder)

    def seconds(self, fields: dict) -> float:
        """Of a batch of 64 images, compilation left out."""
        chain, _ = self._chain(fields)
        chain.warm_up(range(_BATCH))
        begin = time.perf_counter()
        chain(range(_BATCH))
        return time.perf_counter() - begin

    def _chain(self, fields: dict):
        from tf_mdsm.runs.build_sampler import build_sampler
        from tf_mdsm.samplers.chain import compile_chain

        sampler = build_sampler(_with(self.config, fields), self._model, self._statistics)
        return _WarmableChain(compile_chain(sampler), sampler), sampler


class _WarmableChain:
    """A compiled chain that can be compiled by its first stretch alone."""

    def __init__(self, draw, sampler):
        self._draw, self._sampler = draw, sampler

    def __call__(self, seeds):
        return self._draw(seeds)

    def warm_up(self, seeds) -> None:
        class Warm(Exception):
            pass

        def stop(_: int) -> None:
            raise Warm

        with contextlib.suppress(Warm):
            self._draw(seeds, stop)


def _with(config: ConfigDict, fields: dict) -> ConfigDict:
    changed = ConfigDict(config.to_dict())
    defaults = {"step_size": 0.02, "hot_steps": 500, "cooling_steps": 2_000, "final_steps": 200}
    fields = {**defaults, "denoise": True, "batch_size": _BATCH, **fields}
    fields["sigma_min"] = fields.pop("end_share", 0.0) * config.noise.sigma_min
    changed.sampling.update(fields)
    return validate(changed)


def measure(bench: Bench, chosen: dict[str, dict], count: int, with_times: bool) -> list[dict]:
    """One row a setting."""
    rows = []
    for name, fields in chosen.items():
        drawn = bench.draw(fields, count)
        rows.append(
            {
                "name": name,
                "settings": fields,
                "gradients": float(drawn["gradients"].mean()),
                "distance": bench.distance(drawn["images"]),
            }
        )
        print(f"{name:45} {rows[-1]['gradients']:8.1f} {rows[-1]['distance']:8.2f}", flush=True)
    if with_times:
        for row in rows:
            row["seconds"] = bench.seconds(row["settings"])
    return rows


def table(rows: list[dict], floor: float | None) -> str:
    """Markdown."""
    lines = [
        "| sampler, start | gradients an image | Fréchet distance | 64 images, s |",
        "| --- " * 4,
    ]
    lines[1] += "|"
    for row in rows:
        seconds = f"{row['seconds']:.2f}" if "seconds" in row else ""
        cells = (row["name"], f"{row['gradients']:.4g}", f"{row['distance']:.2f}", seconds)
        lines.append(f"| {' | '.join(cells)} |")
    if floor is not None:
        lines.append(f"| held-out images | | {floor:.2f} | |")
    return "\n".join([*lines, ""])


def plot(rows: list[dict], floor: float | None, path: str) -> None:
    """The curve: one line for each sampler and start."""
    from matplotlib.figure import Figure

    figure = Figure((9, 6), layout="constrained")
    axes = figure.subplots()
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        kind = row["settings"]["sampler"], row["settings"]["start"]
        lines.setdefault(kind, []).append((row["gradients"], row["distance"]))
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(s for s, _ in lines))}
    for (sampler, start), points in lines.items():
        dashed = start == "isotropic"
        axes.plot(
            *zip(*sorted(points), strict=True),
            color=colours[sampler],
            linestyle="--" if dashed else "-",
            marker="o",
            markerfacecolor="white" if dashed else colours[sampler],
            label=f"{sampler}, {start} start",
        )
    if floor is not None:
        axes.axhline(floor, color="grey", linewidth=0.8, label="held-out images")
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("gradients of the energy an image")
    axes.set_ylabel("Fréchet distance (features of a small classifier)")
    axes.legend(fontsize="small")
    axes.grid(which="both", alpha=0.2)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)


def main(argv: list[str]) -> int:
    """Parses the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.sampler_quality")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--num_samples", type=int, default=1_024)
    parser.add_argument("--only", default="")
    parser.add_argument("--without_times", action="store_true")
    options = parser.parse_args(argv[1:])
    tune_process()
    try:
        chosen = _chosen(options.only)
        bench = Bench(options.workdir)
        bench.require_enough(options.num_samples)
        floor = bench.floor(options.num_samples)
        rows = measure(bench, chosen, options.num_samples, not options.without_times)
    except (InvalidArgument, RunError) as error:
        print(f"sampler_quality: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    result = {
        "step": bench.step,
        "num_samples": options.num_samples,
        "features": f"{bench.features.name} {bench.features.fingerprint}",
        "held_out_distance": floor,
        "settings": rows,
    }
    stem = os.path.join(bench.folder, "sampler_quality")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2)
    text = table(rows, floor)
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
    plot(rows, floor, f"{stem}.png")
    print(text)
    return 0


def _chosen(only: str) -> dict[str, dict]:
    known = settings()
    names = [name.strip() for name in only.split(",") if name.strip()] or list(known)
    for name in names:
        if name not in known:
            raise InvalidArgument("--only", f"name settings among {', '.join(known)}", name)
    return {name: known[name] for name in names}


if __name__ == "__main__":
    sys.exit(main(sys.argv))
