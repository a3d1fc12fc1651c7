"""Networks and training choices against each other, at equal training time.

    python -m benchmarks.ablation --workdir=runs/ablation
        [--config=configs/fashion_mnist_small.py] [--minutes=30] [--seeds=0]
        [--only=NAME,...] [--num_samples=1024]

Each variant below is the recipe with some settings changed. First forward pass, gradient and
training step of all are timed in turns; from the step follows how many of them fill the minutes
(on an idle machine: what else runs later changes no result). Then each is trained by the program
itself, in a process and a folder of its own, WORKDIR/NAME_SEED, and asked: what it leaves of the
noise of held-out images at each level, its samples' Fréchet distance at several numbers of
gradients, outliers, denoising. Distances are in the features of a small classifier that is
trained here (tf_mdsm/evaluation/classifier.py): compare them with each other only.

A run goes on where it stands, and is not trained again when done. Writes WORKDIR/ablation.json,
.md, and two pictures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from ml_collections import ConfigDict

from benchmarks.memory import peak_mib
from benchmarks.recipes import load_recipe, with_fields
from tf_mdsm.config import file as configuration
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

# Of what is timed: images at a time, rounds, and training steps of each.
_BATCH, _ROUNDS, _STEPS = 64, 5, 4

# Noise levels at which each energy is asked, and held-out images.
_LEVELS, _IMAGES = 17, 512

# Features of the classifier: their covariance takes as many images.
_FEATURES = 64

CHOICES = {
    "optimizer.learning_rate": 2e-3,
    "optimizer.warmup_steps": 200,
    "optimizer.clip_norm": 500.0,
}

UNET = {
    "network.name": "unet",
    "network.head": "distance",
    "network.channels": 24,
    "network.unet.patch_size": 2,
    "network.unet.num_resolutions": 3,
    "network.unet.scale_input": True,
    **CHOICES,
    "optimizer.learning_rate": 3e-3,
}

# What is recommended: configs/fashion_mnist_unet.py, and configs/digits.py of whole pixels.
RECOMMENDED = UNET | {
    "noise.weighting": "edm",
    "optimizer.learning_rate": 2e-3,
    # This weighting's losses and gradients are about four times as large.
    "optimizer.clip_norm": 2_000.0,
}

# Names to what of the recipe is changed.
VARIANTS: dict[str, dict[str, object]] = {
    "resnet": {},
    "resnet_choices": CHOICES,
    "unet": UNET,
    "unet_recommended": RECOMMENDED,
    "unet_recommended_whole_pixels": RECOMMENDED | {"network.unet.patch_size": 1},
    "unet_plain": {
        "network.name": "unet",
        "network.head": "distance",
        "network.channels": 16,
    },
    "unet_input_as_it_is": UNET | {"network.unet.scale_input": False},
    "unet_small_rate": UNET | {"optimizer.learning_rate": 1e-3},
    "unet_whole_pixels": UNET
    | {
        "network.channels": 16,
        "network.unet.patch_size": 1,
        "network.unet.num_resolutions": 4,
    },
    "unet_patches_of_4": UNET
    | {
        "network.channels": 48,
        "network.unet.patch_size": 4,
        "network.unet.num_resolutions": 2,
    },
    "unet_two_blocks": UNET | {"network.unet.num_blocks": 2},
    "unet_attention": UNET | {"network.unet.attention_size": 8},
    "unet_product": UNET | {"network.head": "product"},
    "unet_two_guesses": UNET | {"network.head": "two_guesses"},
    "unet_log_normal": UNET | {"noise.spacing": "log_normal"},
    "unet_edm_weighting": UNET | {"noise.weighting": "edm"},
    "unet_edm_two_guesses": UNET | {"noise.weighting": "edm", "network.head": "two_guesses"},
    "resnet_edm_weighting": CHOICES | {"noise.weighting": "edm"},
    "unet_batch_32": UNET | {"training.batch_size": 32},
    "unet_batch_128": UNET | {"training.batch_size": 128},
    "unet_no_average": UNET | {"optimizer.ema_momentum": 0.0},
}

# From the training images' Gaussian; none takes more than 35 gradients an image.
_SAMPLERS = {
    **{f"Heun, {n} levels": {"sampler": "heun", "num_levels": n} for n in (5, 9, 18)},
    "ancestral Euler, 35 levels": {"sampler": "ancestral", "num_levels": 35},
    "coarse-to-fine, β = 1": {
        "sampler": "coarse_to_fine",
        "beta": 1.0,
        "h0": 0.01,
        "max_steps": 34,
    },
}


def measure_costs(configs: dict[str, ConfigDict], path: str) -> dict[str, dict[str, float]]:
    """Parameters, and seconds of a forward pass, of a gradient and of a training step.

    Medians over rounds in which all variants take their turns. What `path` holds is kept: the
    numbers of steps of runs that have begun follow from it.
    """
    import tensorflow as tf

    from tf_mdsm import losses
    from tf_mdsm.datasets.batches import training_batches
    from tf_mdsm.runs import build_model as build
    from tf_mdsm.training.steps import compile_steps

    costs = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            costs = json.load(file)
    jobs: dict[tuple[str, str], tuple] = {}
    for name, config in configs.items():
        if name in costs:
            continue
        model = build.build_model(config)
        model.compile(build.build_optimizer(config))
        shape = (_BATCH, *model.image_shape)
        batch = tf.constant(np.random.default_rng(0).uniform(size=shape), tf.float32)
        pool = np.random.default_rng(0).uniform(size=(1_024, *model.image_shape))
        iterator = iter(training_batches(pool.astype(np.float32), config.training.batch_size, 0))
        run, network = compile_steps(model), model.network
        forward = tf.function(lambda x, e=network: e(x), autograph=False)
        gradient = tf.function(
            lambda x, e=network: losses.energy_and_gradient(e, x), autograph=False
        )
        jobs[name, "forward"] = (lambda f=forward, x=batch: f(x), _STEPS)
        jobs[name, "gradient"] = (lambda f=gradient, x=batch: f(x), _STEPS)
        jobs[name, "step"] = (lambda f=run, i=iterator: f(i, tf.constant(_STEPS)), 1)
        costs[name] = {"parameters": network.count_params()}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in jobs}
    for round_ in range(1 + _ROUNDS):
        for key, (job, repeats) in jobs.items():
            begin = time.perf_counter()
            for _ in range(repeats):
                job()
            if round_:  # The first one compiles.
                seconds[key].append((time.perf_counter() - begin) / _STEPS)
    for (name, what), taken in seconds.items():
        costs[name][what] = statistics.median(taken)
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(costs, file, indent=2)
    return costs


def steps_in(minutes: float, seconds_per_step: float) -> int:
    """Steps that fill the time, at least 1, rounded down to three digits."""
    count = max(1, round(60 * minutes / seconds_per_step))
    unit = 10 ** max(0, len(str(count)) - 3)
    return count // unit * unit


def train_apart(config: ConfigDict, folder: str) -> None:
    """Trains by the program's own command, in a process of its own; what that took is kept in
    `folder/training.json`: seconds, and the largest memory of all attempts.

    Raises:
        RunError: if it did not come to its end.
    """
    path = os.path.join(folder, "training.json")
    taken = {"seconds": 0.0, "peak_mib": 0.0}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            taken = json.load(file)
    if taken.get("step") == config.training.num_steps:
        return
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "config.json")):
        configuration.save_config(config, os.path.join(folder, "config.json"))
    command = [sys.executable, "-m", "tf_mdsm.main", f"--workdir={folder}"]
    command.append(f"--config={configuration.__file__}:{folder}")
    begin = time.monotonic()
    process = subprocess.Popen(command)
    while process.poll() is None:
        taken["peak_mib"] = max(taken["peak_mib"], peak_mib(process.pid) or 0.0)
        time.sleep(0.1)
    taken["seconds"] += time.monotonic() - begin
    if process.returncode == 0:
        taken["step"] = config.training.num_steps
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(taken, file)
    if process.returncode != 0:
        raise RunError(f"{folder}: training ended with status {process.returncode}")


class Judge:
    """What is asked of every trained run, of the same images in the same features."""

    def __init__(self, config: ConfigDict, workdir: str, num_samples: int):
        from tf_mdsm.runs import build_model as build
        from tf_mdsm.runs.build_evaluation import build_features, build_reference

        training, self._held_out = build.build_images(config)
        self._num_samples = num_samples
        self._features = build_features(config, workdir, training, self._held_out)
        self._reference = build_reference(config, workdir, self._features, training)
        self._sigmas = np.geomspace(config.noise.sigma_min, config.noise.sigma_max, _LEVELS)

    @property
    def features(self) -> str:
        return f"{self._features.name}, {self._features.fingerprint}"

    def floor(self) -> float | None:
        """The distance of as many held-out images, or of all; None of too few."""
        images = self._held_out[: self._num_samples]
        return self._distance(images) if len(images) >= _FEATURES else None

    def _distance(self, images: np.ndarray) -> float:
        from tf_mdsm.evaluation.feature_statistics import fit_feature_statistics
        from tf_mdsm.evaluation.sample_quality import frechet_distance

        ours, _ = self._features.extract(images)
        return frechet_distance(fit_feature_statistics([ours]), self._reference)

    def ask(self, config: ConfigDict, folder: str) -> dict:
        """Rows over the noise levels, samples' distances, areas under outliers' curves."""
        import tensorflow as tf

        from benchmarks.drawn import draw
        from tf_mdsm.datasets.image_statistics import load_statistics
        from tf_mdsm.evaluation.denoising import denoising_rows
        from tf_mdsm.runs import build_model as build
        from tf_mdsm.training.checkpoints import restore_weights

        model = build.build_model(config)
        restore_weights(os.path.join(folder, "checkpoints"), model)
        statistics_of_images = load_statistics(build.statistics_path(folder))
        images = self._held_out[:_IMAGES]
        spec = tf.TensorSpec([None, *model.image_shape])
        denoise = tf.function(model.denoise, input_signature=[spec], autograph=False)
        rows = denoising_rows(denoise, images, self._sigmas)
        # A normalised loss is the residual of all pixels, whatever weights a run was trained by.
        dimensions = int(np.prod(model.image_shape))
        loss = dimensions * float(np.mean([row["residual"] for row in rows]))
        samples = {}
        for name, fields in _SAMPLERS.items():
            fields = {"start": "gaussian", "batch_size": _BATCH, **fields}
            sampling = with_fields(config, {f"sampling.{key}": v for key, v in fields.items()})
            drawn = draw(
                *(sampling, model, statistics_of_images, self._num_samples),
                os.path.join(folder, "drawn"),
            )
            # An energy that was trained too fast may send chains anywhere.
            is_lost = not drawn["finite"].all()
            samples[name] = {
                "gradients": float(drawn["gradients"].mean()),
                "distance": None if is_lost else self._distance(drawn["images"]),
            }
        return {
            "held_out_loss": loss,
            "levels": rows,
            "samples": samples,
            "outliers": _outliers(model, images),
        }


def _outliers(model, images: np.ndarray) -> dict[str, dict[str, float]]:
    """Kinds of foreign images to AUROC by energy and by gradient norm."""
    import tensorflow as tf

    from tf_mdsm.datasets.pixels import to_float
    from tf_mdsm.evaluation import out_of_distribution as ood

    spec = tf.TensorSpec([None, *model.image_shape])
    energy_and_score = tf.function(model.energy_and_score, input_signature=[spec], autograph=False)

    def scores(of: np.ndarray) -> dict[str, np.ndarray]:
        return ood.detection_scores(energy_and_score, of, model.noise.sigma0)

    clean = to_float(tf.constant(images)).numpy()
    kinds = {
        "uniform noise": ood.uniform_noise(clean, 0),
        "constant": ood.constant_images(clean, 0),
        "shuffled patches": ood.shuffled_patches(clean, clean.shape[1] // 4, 0),
        "upside-down": ood.upside_down(clean),
    }
    inside, found = scores(clean), {}
    for kind, foreign in kinds.items():
        outside = scores(foreign)
        found[kind] = {
            score: ood.detection_metrics(inside[score], outside[score])["auroc"]
            for score in ("energy", "gradient_norm")
        }
    return found


def run_all(
    base: ConfigDict,
    workdir: str,
    names: list[str],
    seeds: list[int],
    minutes: float,
    num_samples: int,
) -> dict:
    """Times, trains and asks all; the report."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tune_process()
    with quiet_stderr():
        import tensorflow as tf
    # Keras warns of every new prediction function, one for each set of features.
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    os.makedirs(workdir, exist_ok=True)
    configs = {name: with_fields(base, VARIANTS[name]) for name in names}
    costs = measure_costs(configs, os.path.join(workdir, "costs.json"))
    judge = Judge(base, workdir, num_samples)
    runs = []
    for seed in seeds:
        for name in names:
            num_steps = steps_in(minutes, costs[name]["step"])
            fields = {"training.num_steps": num_steps, "seed": seed}
            config = with_fields(configs[name], fields)
            folder = os.path.join(workdir, f"{name}_{seed}")
            print(f"{name}, seed {seed}: {num_steps} steps", flush=True)
            train_apart(config, folder)
            with open(os.path.join(folder, "training.json"), encoding="utf-8") as file:
                training = json.load(file)
            run = {"name": name, "seed": seed, "num_steps": num_steps, "training": training}
            runs.append({**run, **judge.ask(config, folder)})
            distances = {name: row["distance"] for name, row in runs[-1]["samples"].items()}
            print(f"  loss {runs[-1]['held_out_loss']:.2f}, {distances}", flush=True)
    return {
        "minutes": minutes,
        "num_samples": num_samples,
        "held_out_images": _IMAGES,
        "features": judge.features,
        "held_out_distance": judge.floor(),
        "changes": {name: VARIANTS[name] for name in names},
        "costs": {name: costs[name] for name in names},
        "runs": runs,
    }


def tables(report: dict) -> str:
    """Markdown: what was reached, what it costs, what it is good for besides. Means over seeds."""
    names = list(report["costs"])
    runs = {name: [run for run in report["runs"] if run["name"] == name] for name in names}
    samples = report["runs"][0]["samples"]
    samplers = [f"{name}: {row['gradients']:.3g} gradients" for name, row in samples.items()]
    reached = [["variant", "steps", "held-out loss", *samplers]]
    for name in names:
        losses = [run["held_out_loss"] for run in runs[name]]
        cells = [
            _spread([run["samples"][sampler]["distance"] for run in runs[name]])
            for sampler in samples
        ]
        reached.append([name, str(runs[name][0]["num_steps"]), _spread(losses), *cells])
    if report["held_out_distance"] is not None:
        floor = f"{report['held_out_distance']:.2f}"
        reached.append(["held-out images", "", "", *[floor] * len(samples)])
    cost = [["variant", "parameters", "forward pass, ms", "gradient", "training step", "peak MiB"]]
    for name in names:
        found = report["costs"][name]
        forward = found["forward"]
        cells = [f"{found['parameters']:,}", f"{1e3 * forward:.1f}"]
        cells += [
            f"{1e3 * found[part]:.1f} ms = {found[part] / forward:.1f} passes"
            for part in ("gradient", "step")
        ]
        peak = max(run["training"]["peak_mib"] for run in runs[name])
        cost.append([name, *cells, f"{peak:.0f}"])
    places = (0, _LEVELS // 3, 2 * _LEVELS // 3, _LEVELS - 1)
    levels = report["runs"][0]["levels"]
    psnr_heads = [f"PSNR at {levels[place]['sigma']:.2g}" for place in places]
    kinds = list(report["runs"][0]["outliers"])
    besides = [["variant", *psnr_heads, *(f"AUROC, {kind}" for kind in kinds)]]
    for name in names:
        cells = [
            f"{np.mean([run['levels'][place]['psnr'] for run in runs[name]]):.2f}"
            for place in places
        ]
        for kind in kinds:
            areas = [list(run["outliers"][kind].values()) for run in runs[name]]
            cells.append("; ".join(f"{area:.2f}" for area in np.mean(areas, axis=0)))
        besides.append([name, *cells])
    return "\n".join(_table(rows) for rows in (reached, cost, besides))


def _spread(values: list[float | None]) -> str:
    if None in values:
        return "not finite"
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f} … {max(values):.2f})"


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "| --- " * len(rows[0]) + "|")
    return "\n".join([*lines, ""])


def write(report: dict, workdir: str) -> None:
    """Numbers, tables and two pictures."""
    from tf_mdsm.visualization import images as pictures
    from tf_mdsm.visualization import plots

    stem = os.path.join(workdir, "ablation")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(tables(report))
    several = len({run["seed"] for run in report["runs"]}) > 1
    distances, levels = {}, {}
    first = np.array([row["residual"] for row in report["runs"][0]["levels"]])
    for run in report["runs"]:
        label = f"{run['name']}, seed {run['seed']}" if several else run["name"]
        found = [
            (row["gradients"], row["distance"])
            for name, row in run["samples"].items()
            if name.startswith("Heun") and row["distance"] is not None
        ]
        if found:
            distances[label] = tuple(np.array(values) for values in zip(*found, strict=True))
        sigmas, left = (
            np.array([row[field] for row in run["levels"]]) for field in ("sigma", "residual")
        )
        levels[label] = sigmas, left / first
    if distances:
        axes = ("gradients an image (Heun)", "Fréchet distance (features of a small classifier)")
        picture = plots.curves(distances, *axes, log_x=True, log_y=True)
        pictures.write_png(picture, f"{stem}_distances.png")
    axes = (
        "noise level sigma of held-out images",
        f"loss over that of {report['runs'][0]['name']}",
    )
    pictures.write_png(plots.curves(levels, *axes, log_x=True), f"{stem}_levels.png")


def main(argv: list[str]) -> int:
    """Parses the command line, trains, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--config", default="configs/fashion_mnist_small.py")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--num_samples", type=int, default=1_024)
    options = parser.parse_args(argv[1:])
    try:
        names = options.only.split(",")
        for name in names:
            if name not in VARIANTS:
                raise InvalidArgument("--only", f"name some of {', '.join(VARIANTS)}", name)
        if not all(seed.isdecimal() for seed in options.seeds.split(",")):
            raise InvalidArgument("--seeds", "be numbers separated by commas", options.seeds)
        if not 0 < options.minutes < float("inf"):
            raise InvalidArgument("--minutes", "be positive", options.minutes)
        if options.num_samples < _FEATURES:
            at_least = f"be at least the number of features ({_FEATURES})"
            raise InvalidArgument("--num_samples", at_least, options.num_samples)
        seeds = [int(seed) for seed in options.seeds.split(",")]
        base = load_recipe(options.config)
        report = run_all(base, options.workdir, names, seeds, options.minutes, options.num_samples)
    except (InvalidArgument, RunError) as error:
        print(f"ablation: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    except KeyboardInterrupt:
        print("ablation: interrupted; run again to continue", file=sys.stderr)
        return 130
    write(report, options.workdir)
    print(tables(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
