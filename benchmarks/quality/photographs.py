"""Denoising whole photographs by a trained energy, beside BM3D and non-local means.

    python -m benchmarks photographs --workdir=runs/photos [--levels=15,25,50]
        [--methods=energy,one_step,bm3d,bm3d_by_energy,non_local_means] [--photographs=DIR]
        [--color]

Duration: 2 to 7 minutes on one CPU core for astronaut and camera, most of it BM3D's.

Writes: WORKDIR/benchmark/photographs.json after every photograph and level, a picture of each
(the middle 256 x 256 pixels: original, noisy, each method), and photographs.md; with --photographs
or --color the names tell so.

WORKDIR is a trained run whose network takes images of any size, as of configs/photos.py. The
photographs are astronaut and camera of scikit-image, 512 x 512 pixels. That recipe does not train
on them. With --photographs they are the pictures of a folder: the middle quarter of each one's
central square, made smaller to 320 x 320 pixels. They are gray or in color as the run is; with
--color they are in color, and a gray model denoises channel by channel. Noise is Gaussian; its
levels are standard deviations in units of 1/255, with seed 0. The energy is not told the level. Its
image is that of `--mode=restore`, in half steps; that of `one_step` is D(x), one gradient
evaluation. BM3D (the package bm3d, `pip install bm3d`) and non-local means (scikit-image) are told
the level; `bm3d_by_energy` is told the one that the energy finds, ||D(x) - x|| / sqrt(d).
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from benchmarks.command import chosen_names, load_tensorflow, new_parser, run_benchmark
from benchmarks.quality.trained_run import load_trained_model
from benchmarks.results import Results, markdown_table
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument

if TYPE_CHECKING:
    from tf_mdsm.energy_model import EnergyModel

__all__ = [
    "main",
    "measure_image",
    "photographs_of_folder",
    "require_any_size",
    "table",
    "validation_photographs",
]

# From noisy images [1, H, W, C] and the noise level, in pixel units, to images [1, H, W, C].
Denoiser = Callable[[np.ndarray, float], np.ndarray]

# Height and width of the photographs of a folder.
_SIDE = 320

# Names of the methods in tables.
_METHODS = {
    "energy": "energy, blind",
    "one_step": "energy in one step, blind",
    "bm3d": "BM3D, told",
    "bm3d_by_energy": "BM3D, told what the energy finds",
    "non_local_means": "non-local means, told",
}


def measure_image(
    image: np.ndarray, level: float, denoisers: dict[str, Denoiser]
) -> tuple[dict[str, dict[str, float]], np.ndarray]:
    """PSNR, SSIM and seconds of several methods on one image under noise.

    Args:
        image: float32 in [0, 1], [H, W, C].
        level: noise level, in units of 1/255.
        denoisers: the methods by their names.

    Returns:
        `psnr` in decibels, `ssim` and `seconds` by the methods' names, and of the noisy image; and
        the images: the clean one, the noisy one, and those of the methods, [2 + methods, H, W, C].
    """
    from tf_mdsm.evaluation.denoising import add_noise
    from tf_mdsm.evaluation.image_quality import psnr, ssim

    clean, sigma = image[None], level / 255
    noisy = add_noise(clean, sigma, seed=0)
    found = {"noisy": (noisy, 0.0)}
    for name, denoise in denoisers.items():
        begin = time.perf_counter()
        restored = denoise(noisy, sigma)
        found[name] = restored, time.perf_counter() - begin
    quality = {
        name: {
            "psnr": float(psnr(clean, restored)[0]),
            "ssim": float(ssim(clean, restored)[0]),
            "seconds": seconds,
        }
        for name, (restored, seconds) in found.items()
    }
    return quality, np.concatenate([clean, *(restored for restored, _ in found.values())])


def table(report: dict) -> str:
    """Markdown: PSNR, SSIM and seconds of each method, by photograph and level; and their means."""
    rows = [["photograph", "noise, of 255", "method", "PSNR, dB", "SSIM", "seconds"]]
    for row in [*report["rows"].values(), *_means([*report["rows"].values()])]:
        for name, found in row["methods"].items():
            rows.append(
                [
                    row["photograph"],
                    f"{row['level']:g}",
                    _METHODS.get(name, name),
                    f"{found['psnr']:.2f}",
                    f"{found['ssim']:.3f}",
                    f"{found['seconds']:.1f}" if found["seconds"] else "",
                ]
            )
    return markdown_table(rows)


def _means(rows: list[dict]) -> list[dict]:
    """For each level a row of the methods' means over the photographs."""
    means = []
    for level in dict.fromkeys(row["level"] for row in rows):
        of_level = [row["methods"] for row in rows if row["level"] == level]
        methods = {
            name: {key: float(np.mean([row[name][key] for row in of_level])) for key in found}
            for name, found in of_level[0].items()
        }
        means.append({"photograph": "mean", "level": level, "methods": methods})
    return means


def validation_photographs(channels: int) -> dict[str, np.ndarray]:
    """The validation photographs of `data.source=photographs`, float32 [H, W, C] in [0, 1]."""
    from tf_mdsm.datasets.photographs import load_photographs
    from tf_mdsm.datasets.pixels import to_float_array
    from tf_mdsm.datasets.readers import PHOTOGRAPHS

    names = PHOTOGRAPHS["test"]
    _, images = load_photographs("photographs", path="", channels=channels)
    pairs = zip(names, images[-len(names) :], strict=True)
    return {os.path.splitext(name)[0]: to_float_array(image) for name, image in pairs}


def photographs_of_folder(folder: str, channels: int) -> dict[str, np.ndarray]:
    """The middles of a folder's pictures by their names, float32 [320, 320, C] in [0, 1].

    Raises:
        InvalidArgument: if there is no such folder, or a file is no picture.
    """
    from tf_mdsm.datasets.pixels import to_float_array
    from tf_mdsm.datasets.resizing import resize
    from tf_mdsm.system.image_files import files_in_folder
    from tf_mdsm.system.pictures import PICTURE_ENDINGS, PICTURE_READ_ERRORS, read_picture
    from tf_mdsm.system.pixel_values import to_bytes

    found = {}
    for path in files_in_folder(folder, PICTURE_ENDINGS, "--photographs"):
        try:
            image = to_bytes(read_picture(path))
        except PICTURE_READ_ERRORS as error:
            raise InvalidArgument("--photographs", f"hold pictures ({error})", path) from error
        shorter = min(image.shape[:2])
        crop = max(shorter // 2, min(shorter, _SIDE))
        name = os.path.splitext(os.path.relpath(path, folder))[0].replace(os.sep, "_")
        found[name] = to_float_array(resize(image, _SIDE, channels, crop).numpy())
    return found


def require_any_size(config: ConfigDict, workdir: str) -> None:
    """Raises InvalidArgument unless a run's network takes images of any size."""
    if not config.data.patches:
        any_size = "be a run whose network takes images of any size (config.data.patches)"
        raise InvalidArgument("--workdir", any_size, workdir)


def _middle(images: np.ndarray, side: int = 256) -> np.ndarray:
    """The middle of images, [N, side, side, C]."""
    top, left = ((size - side) // 2 for size in images.shape[1:3])
    return images[:, top : top + side, left : left + side]


def _denoisers(names: list[str], model: "EnergyModel") -> dict[str, Denoiser]:
    """The methods by their names. A gray model denoises images in color channel by channel."""
    from tf_mdsm.evaluation.denoising import BASELINE_DENOISERS
    from tf_mdsm.restoration.solve import denoise_in_half_steps

    def non_local_means(noisy: np.ndarray, sigma: float) -> np.ndarray:
        image = BASELINE_DENOISERS["non-local means"](noisy[0], sigma)
        return image.reshape(noisy.shape)

    def as_the_model_takes(noisy: np.ndarray) -> np.ndarray:
        return np.concatenate(np.split(noisy, noisy.shape[-1] // model.image_shape[-1], axis=-1))

    def by_model(denoise: Callable[[np.ndarray], np.ndarray]) -> Denoiser:
        def denoise_channels(noisy: np.ndarray, _: float) -> np.ndarray:
            restored = denoise(as_the_model_takes(noisy))
            return np.concatenate(np.split(restored, len(restored)), axis=-1)

        return denoise_channels

    known = {
        "energy": by_model(lambda noisy: denoise_in_half_steps(model, noisy)),
        "one_step": by_model(lambda noisy: model.denoise(noisy).numpy()),
        "non_local_means": non_local_means,
    }
    if {"bm3d", "bm3d_by_energy"} & set(names):
        bm3d = known["bm3d"] = _bm3d()

        def bm3d_by_energy(noisy: np.ndarray, _: float) -> np.ndarray:
            levels = model.noise_level(as_the_model_takes(noisy))
            return bm3d(noisy, float(np.mean(levels)))

        known["bm3d_by_energy"] = bm3d_by_energy
    return {name: known[name] for name in names}


def _bm3d() -> Denoiser:
    try:
        import bm3d  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        requirement = "not name bm3d unless the package bm3d is installed (pip install bm3d)"
        raise InvalidArgument("--methods", requirement, "bm3d") from error

    def denoise(noisy: np.ndarray, sigma: float) -> np.ndarray:
        method = bm3d.bm3d if noisy.shape[-1] == 1 else bm3d.bm3d_rgb
        image = noisy[0, ..., 0] if noisy.shape[-1] == 1 else noisy[0]
        return method(image, sigma).reshape(noisy.shape)

    return denoise


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("photographs", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument("--levels", default="15,25,50", help="noise levels of 255, by commas")
    parser.add_argument("--methods", help=f"methods by commas, among {', '.join(_METHODS)}")
    parser.add_argument("--photographs", help="folder of pictures in place of astronaut and camera")
    parser.add_argument("--color", action="store_true", help="in color, also by a gray model")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        names = chosen_names("--methods", options.methods, list(_METHODS))
        try:
            levels = [float(level) for level in options.levels.split(",")]
        except ValueError as error:
            requirement = "be numbers separated by commas"
            raise InvalidArgument("--levels", requirement, options.levels) from error
        if not all(0 < level < float("inf") for level in levels):
            raise InvalidArgument("--levels", "be positive", options.levels)
        config = get_config(options.workdir)
        require_any_size(config, options.workdir)
        load_tensorflow()
        from tf_mdsm.runs.loaded_run import fingerprint
        from tf_mdsm.visualization.images import image_grid, write_png

        trained = load_trained_model(config, options.workdir, config.checkpoint)
        denoisers = _denoisers(names, trained.model)
        channels = 3 if options.color else config.data.channels
        if options.photographs is None:
            photographs, suffix = validation_photographs(channels), ""
        else:
            photographs = photographs_of_folder(options.photographs, channels)
            suffix = "_of_folder"
        suffix += "_in_color" if options.color else ""
        # What is traced at the first call is not timed.
        for image in {image.shape: image for image in photographs.values()}.values():
            for name in ("energy", "one_step"):
                if name in names:
                    denoisers[name](image[None], 0.0)
        origin = {
            "step": trained.step,
            "weights_and_photographs": fingerprint({"images": photographs}, trained.model),
            "levels": levels,
            "methods": names,
        }
        folder = os.path.join(options.workdir, "benchmark")
        with Results(os.path.join(folder, f"photographs{suffix}.json"), origin) as results:
            for photograph, image in photographs.items():
                for level in levels:
                    name = f"{photograph}, {level:g}"
                    if name in results.rows:
                        continue
                    found, images = measure_image(image, level, denoisers)
                    write_png(
                        image_grid(_middle(images), columns=len(images)),
                        os.path.join(folder, f"{photograph}{suffix}_{level:g}.png"),
                    )
                    row = {"photograph": photograph, "level": level, "methods": found}
                    results.add(name, row)
                    shown = (f"{key} {value['psnr']:.2f}" for key, value in found.items())
                    print(f"{name:15} {', '.join(shown)}", flush=True)
            results.write_table(table(results.finish()))

    return run_benchmark("photographs", benchmark)
