"""Makes a run folder of the weights that `run` trained, and measures the images that it drew.

    python -m benchmarks collect --folder=DIR --results=DIR --case=res12_tf32 --workdir=DIR

Duration: 47 s on two cores of an Intel Xeon, most of it the training of a small classifier.

Writes: the run folder: config.json, a checkpoint at the step that was reached, the guide if the
recipe keeps one, the statistics of the training images, and accelerator.json: the Fréchet distances
of the images that `run` drew, if any, in the classifier's features. Every mode takes the folder:
sample, evaluate, restore, export, train.

`--folder` is what `prepare` wrote, `--results` is what `run` wrote. The optimizer's averages stayed
on the accelerator: further training begins with fresh ones.
"""

import glob
import json
import os
from typing import Any

import numpy as np

from benchmarks.command import load_tensorflow, new_parser, run_benchmark
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import write_json

__all__ = ["main"]

# Other distances in the documentation are of so many images.
_FEW = 1_024


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = new_parser("collect", __doc__)
    for flag in ("folder", "results", "workdir"):
        parser.add_argument(f"--{flag}", required=True, metavar="DIR")
    parser.add_argument("--case", required=True)
    flags = parser.parse_args(argv)

    def benchmark() -> None:
        case = _read_json(flags.folder, "cases.json", "--folder")
        findings = _read_json(flags.results, "results.json", "--results")
        key = f"train:{flags.case}"
        if flags.case not in case or key not in findings:
            raise InvalidArgument("--case", f"be trained in {flags.results}", flags.case)
        if os.path.exists(flags.workdir):
            raise InvalidArgument("--workdir", "not exist yet", flags.workdir)
        weights = read_weights(flags.results, flags.case)
        guide = None
        if case[flags.case]["config"]["training"]["guide_step"]:
            guide = read_weights(flags.results, flags.case, "guide")
        load_tensorflow()
        steps = _trained_steps(findings[key])
        config = collect(case[flags.case], steps, weights, flags.workdir, guide)
        drawn = _drawn_images(flags.results, flags.case)
        if not drawn:
            return
        distances = measure(config, drawn, flags.workdir)
        write_json(distances, os.path.join(flags.workdir, "accelerator.json"))
        for name, distance in distances.items():
            print(f"{name}: {distance:.2f}")

    return run_benchmark("collect", benchmark)


def _read_json(folder: str, name: str, flag: str) -> dict[str, Any]:
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise InvalidArgument(flag, f"hold {name} ({error})", folder) from error


def _trained_steps(job: dict[str, Any]) -> int:
    for finding in job["findings"]:
        if "trained_steps" in finding:
            return finding["trained_steps"]
    raise InvalidArgument("--results", "hold a training that came to its end", job["status"])


def read_weights(results: str, case: str, name: str = "weights") -> np.ndarray:
    """All weights one after the other, from the files that `run` wrote.

    Args:
        results: what `run` wrote.
        case: the case's name.
        name: "weights", or "guide": those that guide others.

    Raises:
        InvalidArgument: if there are none.
    """
    stem = os.path.join(glob.escape(results), f"{case}_{name}_")
    paths = sorted(glob.glob(f"{stem}*.npy"), key=lambda path: int(path[:-4].rsplit("_", 1)[1]))
    if not paths:
        raise InvalidArgument("--results", f"hold {name} of {case}", results)
    return np.concatenate([np.load(path, allow_pickle=False) for path in paths])


def _drawn_images(results: str, case: str) -> dict[str, np.ndarray]:
    """The images that `run` drew, uint8 [N, H, W, C], by the sampler's name."""
    images = {}
    for sampler in ("heun", "chain"):
        path = os.path.join(results, f"{case}_{sampler}.npz")
        if os.path.exists(path):
            with np.load(path, allow_pickle=False) as arrays:
                images[sampler] = arrays["images"]
    return images


def measure(config: Any, drawn: dict[str, np.ndarray], workdir: str) -> dict[str, float]:
    """Fréchet distances of drawn images, and of validation images, to the training images.

    Args:
        config: the run's configuration.
        drawn: images of each sampler, uint8 [N, H, W, C].
        workdir: folder that keeps the classifier.

    Returns:
        distances of the first 1,024 images and of all of them, by sampler and number.
    """
    from benchmarks.quality.trained_run import FrechetDistance

    distance = FrechetDistance(config, os.path.join(workdir, "evaluation"))
    sets = {"validation images": distance.validation_images, **drawn}
    return {
        f"{name}, {count} images": distance.of(images[:count])
        for name, images in sets.items()
        for count in dict.fromkeys((min(_FEW, len(images)), len(images)))
    }


def collect(
    case: dict[str, Any],
    step: int,
    weights: np.ndarray,
    workdir: str,
    guide: np.ndarray | None = None,
) -> Any:
    """Writes the run folder of a case.

    Args:
        case: its description, as `prepare` wrote it.
        step: training steps of the weights.
        weights: those of all arrays of the network, one after the other.
        workdir: the run's folder.
        guide: the weights of the guide, likewise; None: the run keeps none.

    Returns:
        the run's configuration.

    Raises:
        InvalidArgument: if the number of weights is not that of the network.
    """
    from tf_mdsm.config import default_config
    from tf_mdsm.config.file import save_config
    from tf_mdsm.datasets.image_statistics import save_statistics
    from tf_mdsm.runs.build_data import build_images
    from tf_mdsm.runs.build_model import build_model, build_optimizer
    from tf_mdsm.runs.build_statistics import build_statistics
    from tf_mdsm.runs.folder import RunFolder
    from tf_mdsm.training.checkpoints import TrainingCheckpoints

    config = default_config()
    config.update(case["config"])
    config.training.num_steps = step
    model = build_model(config)
    model.compile(build_optimizer(config))
    for numbers in (weights, guide):
        if numbers is not None and numbers.size != model.network.count_params():
            wanted = f"hold {model.network.count_params()} weights"
            raise InvalidArgument("--results", wanted, numbers.size)
    folder = RunFolder(workdir)
    os.makedirs(folder.checkpoints)
    checkpoints = TrainingCheckpoints(folder.checkpoints, model, config.training.keep_checkpoints)
    if guide is not None:
        _assign(model, guide)
        model.optimizer.iterations.assign(config.training.guide_step)
        checkpoints.keep_as_guide()
    _assign(model, weights)
    model.optimizer.iterations.assign(step)
    checkpoints.save()
    images = build_images(config)[0]
    save_statistics(build_statistics(config, images), folder.image_statistics)
    save_config(config, folder.config)
    return config


def _assign(model: Any, weights: np.ndarray) -> None:
    """Gives weights, one after the other, to a model's network and its averages."""
    networks = [network for network in (model.network, model.ema_network) if network is not None]
    first = 0
    for group in zip(*(network.variables for network in networks), strict=True):
        size = int(np.prod(group[0].shape))
        for variable in group:
            variable.assign(weights[first : first + size].reshape(variable.shape))
        first += size
