"""Restoring photographs by a trained energy, beside scikit-image's methods: PSNR, SSIM, time.

    python -m benchmarks photograph_tasks --workdir=runs/photos [--tasks=box,scratches]

Duration: five to seven minutes in gray on one CPU core; `box` and `scratches` two to three of them.

Writes: WORKDIR/benchmark/photograph_tasks.json after every photograph and task, a picture of each
(original, what is known, energy, scikit-image), and photograph_tasks.md.

WORKDIR is a trained run whose network takes images of any size, as of configs/photos.py. The
photographs are astronaut and camera of scikit-image, 512 x 512 pixels, with the run's number of
channels. That recipe does not train on them. The energy is sampled as the run's
`config.restoration` says; its image is the mean of `num_solutions` solutions. Tasks:

    box                  32 x 32 pixels in the middle are missing
    scratches            24 straight lines, 3 pixels wide, are missing
    random               half of the pixels are missing
    super_resolution_2   enlarged from means of 2 x 2 pixels
    super_resolution_4   enlarged from means of 4 x 4 pixels

The energy and biharmonic inpainting, or bicubic interpolation, are given the same values. PSNR is
that of the missing pixels; of the whole photograph if it is enlarged.
"""

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.command import chosen_names, load_tensorflow, new_parser, run_benchmark
from benchmarks.quality.photographs import require_any_size, validation_photographs
from benchmarks.results import Results, markdown_table
from tf_mdsm.config.file import get_config

if TYPE_CHECKING:
    from tf_mdsm.restoration.photographs import PhotographRestorer

__all__ = ["TASKS", "main", "measure_task", "scratches", "table"]

# The tasks' names here, and the names and settings by which the program knows them.
TASKS: dict[str, dict[str, Any]] = {
    "box": {"task": "inpaint_box", "hole": 1 / 16},
    "scratches": {"task": "inpaint_mask"},
    "random": {"task": "inpaint_random", "known_share": 0.5},
    "super_resolution_2": {"task": "super_resolution_2"},
    "super_resolution_4": {"task": "super_resolution_4"},
}

# Biharmonic inpainting and bicubic interpolation, by one name in the results.
_BASELINE = "scikit-image"


def scratches(height: int, width: int, *, count: int = 24, seed: int = 0) -> np.ndarray:
    """Mask of straight lines, 3 pixels wide, from top to bottom, [H, W, 1]: 0 on a line, else 1."""
    from skimage import draw, morphology

    random = np.random.default_rng(seed)
    is_line = np.zeros((height, width), bool)
    for _ in range(count):
        top, bottom = random.integers(0, width, 2)
        is_line[draw.line(0, top, height - 1, bottom)] = True
    is_wide = morphology.dilation(is_line, np.ones((3, 3), bool))
    return (~is_wide).astype(np.float32)[..., None]


def measure_task(
    restorer: "PhotographRestorer", original: np.ndarray
) -> tuple[dict[str, dict[str, float]], np.ndarray]:
    """PSNR, SSIM and seconds of the energy and of scikit-image's method for a task.

    Args:
        restorer: restores photographs by a task that has a method of scikit-image.
        original: float32 in [0, 1], [H, W, C].

    Returns:
        `psnr` in decibels, `ssim` and `seconds` by the names `energy`, `scikit-image` and
        `measured`, the values as an image; and the images original, measured, energy and
        scikit-image, [4, H, W, C].
    """
    from tf_mdsm.evaluation.image_quality import psnr, ssim
    from tf_mdsm.restoration.baselines import baseline_solution

    begin = time.perf_counter()
    restored = restorer.from_original(original)
    middle = time.perf_counter()
    clean, measured = restored.original, restored.measured
    assert clean is not None
    assert measured is not None
    task = restorer.create_task(*clean.shape[:2])
    solution = baseline_solution(task, measured[None])
    assert solution is not None
    end = time.perf_counter()
    images = {"measured": measured, "energy": restored.pixels, _BASELINE: solution[1][0]}
    seconds = {"measured": 0.0, "energy": middle - begin, _BASELINE: end - middle}
    is_missing = np.ones(clean.shape[:2], bool) if task.mask is None else task.mask[..., 0] == 0
    found = {
        name: {
            "psnr": float(psnr(clean[is_missing][None], image[is_missing][None])[0]),
            "ssim": float(ssim(clean[None], image[None])[0]),
            "seconds": seconds[name],
        }
        for name, image in images.items()
    }
    return found, np.stack([clean, *images.values()])


def table(report: dict) -> str:
    """Markdown: PSNR, SSIM and seconds of both methods, by photograph and task."""
    heading = ["photograph", "task"]
    for quantity in ("PSNR, dB", "SSIM", "seconds"):
        heading += [f"energy, {quantity}", f"{_BASELINE}, {quantity}"]
    rows = [heading]
    for row in report["rows"].values():
        both = [row["methods"][name] for name in ("energy", _BASELINE)]
        rows.append(
            [
                row["photograph"],
                row["task"],
                *(f"{found['psnr']:.2f}" for found in both),
                *(f"{found['ssim']:.3f}" for found in both),
                *(f"{found['seconds']:.1f}" for found in both),
            ]
        )
    return markdown_table(rows)


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("photograph_tasks", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument("--tasks", help=f"tasks by commas, among {', '.join(TASKS)}")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        names = chosen_names("--tasks", options.tasks, list(TASKS))
        config = get_config(options.workdir)
        require_any_size(config, options.workdir)
        load_tensorflow()
        from tf_mdsm.restoration.photographs import PhotographRestorer
        from tf_mdsm.restoration.tiles import TiledEnergy
        from tf_mdsm.runs.loaded_run import load_run
        from tf_mdsm.visualization.images import image_grid, write_png

        run = load_run(config, options.workdir)
        target = TiledEnergy(run.model)
        method = run.restoration_method
        folder = os.path.join(options.workdir, "benchmark")
        origin = {"step": run.step, "weights": run.weights_hash, "tasks": names}
        with Results(os.path.join(folder, "photograph_tasks.json"), origin) as results:
            for photograph, image in validation_photographs(config.data.channels).items():
                mask = scratches(*image.shape[:2])
                for name in names:
                    key = f"{photograph}, {name}"
                    if key in results.rows:
                        continue
                    restorer = PhotographRestorer(
                        target,
                        method=method,
                        mask=mask,
                        num_solutions=config.restoration.num_solutions,
                        **TASKS[name],
                    )
                    found, images = measure_task(restorer, image)
                    write_png(
                        image_grid(images, columns=len(images)),
                        os.path.join(folder, f"{photograph}_{name}.png"),
                    )
                    results.add(key, {"photograph": photograph, "task": name, "methods": found})
                    shown = (f"{of} {value['psnr']:.2f}" for of, value in found.items())
                    print(f"{key:30} {', '.join(shown)}", flush=True)
            results.write_table(table(results.finish()))

    return run_benchmark("photograph_tasks", benchmark)
