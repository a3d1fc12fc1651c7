"""`--mode=restore` of photographs of any size, by a run that is trained on patches."""

import contextlib
import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from tf_mdsm.errors import InvalidArgument, RunError, errors_in_group, one_line
from tf_mdsm.evaluation.image_quality import psnr, ssim
from tf_mdsm.restoration.photograph_files import (
    Photograph,
    read_facts,
    read_photograph,
    write_photograph,
)
from tf_mdsm.restoration.photographs import PhotographRestorer, Restored
from tf_mdsm.restoration.solve import half_steps
from tf_mdsm.restoration.tiles import TiledEnergy
from tf_mdsm.runs.build_method import with_own_sampler
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.runs.results import reserved_stem
from tf_mdsm.samplers.base import Method
from tf_mdsm.system.atomic import write_json
from tf_mdsm.system.fingerprints import content_of_files, fingerprint
from tf_mdsm.system.image_files import files_in_folder, read_mask
from tf_mdsm.system.locks import job_lock
from tf_mdsm.system.pictures import PICTURE_ENDINGS
from tf_mdsm.system.progress import progress_bar

__all__ = ["restore_photographs"]

_LOGGER = logging.getLogger(__name__)

# The field that names the photographs.
_IMAGES = "config.restoration.images"

# What makes one photograph impossible to restore, while others may be possible.
_REFUSALS = (InvalidArgument, RunError, MemoryError, tf.errors.ResourceExhaustedError)


def restore_photographs(config: ConfigDict, workdir: str) -> list[str]:
    """Restores the photographs `config.restoration.images` by one task, one after the other.

    Each result follows from its photograph, the settings and the weights alone. Photographs that
    cannot be restored are named, and do not stop the others. If the program is killed, the next
    call restores what is missing.

    Args:
        config: the run's configuration, with `data.patches`.
        workdir: the run's folder.

    Returns:
        the folder `workdir/restorations/<task>` of the restored photographs, PNG files under the
        photographs' names, and the report `<task>.json` with a row for each photograph, those of
        earlier calls included. Earlier results of other settings or weights stay: then a hash is
        added to the folder's name, and for another photograph of the same name to the file's.

    Raises:
        InvalidArgument: if there is no checkpoint, if there are no photographs, or if the mask or
            the task fits none.
        RunError: at the end, if some photographs were not restored; if the checkpoint cannot be
            read.
    """
    settings = config.restoration
    sources = _find(settings.images)
    mask = _read_mask(settings)
    own_config = None if settings.task == "denoise" else with_own_sampler(config)
    run = load_run(config, workdir).without_guided_steps()
    run.folder.require_writable(run.folder.restorations)
    progress = _Progress()
    method = _build_method(run, own_config)
    with errors_in_group("config.restoration"):
        restorer = PhotographRestorer(
            target=TiledEnergy(
                run.model, memory_gib=settings.memory_gib, after_tile=progress.advance
            ),
            task=settings.task,
            method=method,
            seed=settings.seed,
            num_solutions=settings.num_solutions,
            noise=settings.noise,
            mask=mask,
            hole=settings.hole,
            known_share=settings.known_share,
            cutoff=settings.cutoff,
        )
    report = _description(run, own_config, method)
    key = _key(run, report, mask)
    stem = run.folder.restoration_stem(settings.task)
    once = "be restored by one process at a time with the same settings"
    with job_lock(f"{stem}.{key}.lock", once):
        report["key"] = key
        with reserved_stem(stem, key) as folder:
            rows = _earlier_rows(folder, key, sources)
            _write_report(report, rows, folder)
        job = _Job(restorer, progress, settings.measured, folder, key)
        num_refused = 0
        try:
            for row in _restore_all(job, sources):
                rows[_identity(row)] = row
                num_refused += "refused" in row
        finally:
            _write_report(report, rows, folder)
    if num_refused:
        raise RunError(
            f"{num_refused} of {len(sources)} photographs were not restored; {folder}.json says why"
        )
    return [f"{folder}/", f"{folder}.json"]


class _Progress:
    """The progress bar of the photograph that is being restored."""

    _bar: tqdm | None = None

    @contextlib.contextmanager
    def of(self, name: str, num_tiles: int) -> Iterator[None]:
        """Shows a bar during the block; it stays below `num_tiles` if the method ends early."""
        with progress_bar(name, total=num_tiles, unit="tile") as self._bar:
            yield
        self._bar = None

    def advance(self) -> None:
        """A tile is done."""
        if self._bar is not None:
            self._bar.update()


@dataclasses.dataclass(frozen=True)
class _Job:
    """What is done with each photograph.

    Attributes:
        restorer: the restorer.
        progress: what shows its progress.
        is_measured: whether the photographs are measured ones.
        folder: the folder of results.
        key: hash of what all results depend on.
    """

    restorer: PhotographRestorer
    progress: _Progress
    is_measured: bool
    folder: str
    key: str


@dataclasses.dataclass(frozen=True)
class _Source:
    """A photograph's file.

    Attributes:
        path: its path.
        name: its path in the folder of photographs.
        result: the path of its result in the folder of results, less the ending.
    """

    path: str
    name: str
    result: str


def _find(images: str) -> list[_Source]:
    """The files of `config.restoration.images`.

    The result of a.jpg is a.png; if there is another photograph called a, the name is a.jpg.png.
    """
    path = os.path.expanduser(images)
    if os.path.isdir(path):
        paths = files_in_folder(path, PICTURE_ENDINGS, _IMAGES)
        names = [os.path.relpath(file, path) for file in paths]
    elif os.path.exists(path):
        paths, names = [path], [os.path.basename(path)]
    else:
        raise InvalidArgument(_IMAGES, "be a picture or a folder of pictures", images)
    # Some file systems take capital and small letters for the same.
    short = [os.path.splitext(name)[0] for name in names]
    lowered = [stem.lower() for stem in short]
    results = [
        stem if lowered.count(stem.lower()) == 1 else name
        for stem, name in zip(short, names, strict=True)
    ]
    return [_Source(*source) for source in zip(paths, names, results, strict=True)]


def _read_mask(settings: ConfigDict) -> np.ndarray | None:
    """The mask of `config.restoration.mask`, [H, W, 1], for task inpaint_mask."""
    if settings.task != "inpaint_mask":
        return None
    field = "config.restoration.mask"
    mask = read_mask(settings.mask, (None, None, 1), 1, field)[0]
    if mask.all() or not mask.any():
        raise InvalidArgument(field, "hold both known and unknown pixels", settings.mask)
    return mask


def _build_method(run: LoadedRun, own_config: ConfigDict | None) -> Method | None:
    """The sampler of a task, or the half steps of denoising; None: denoising by one step."""
    if own_config is not None:
        return run.restoration_method
    return None if run.config.restoration.one_step else half_steps(run.model.noise)


def _description(run: LoadedRun, own_config: ConfigDict | None, method: Method | None) -> dict:
    """What the report says about weights and method."""
    settings = run.config.restoration
    if own_config is not None:
        sampler, sampling = own_config.sampling.sampler, own_config.sampling.to_dict()
    else:
        sampler, sampling = "one step" if method is None else "half steps", {}
    evaluations = 1 if method is None else method.max_gradient_evaluations
    return {
        "task": settings.task,
        "step": run.step,
        "weights_hash": run.weights_hash,
        "settings": settings.to_dict(),
        "sampler": sampler,
        "max_gradient_evaluations": evaluations * run.networks,
        "sampling": sampling,
    }


def _key(run: LoadedRun, report: dict[str, Any], mask: np.ndarray | None) -> str:
    """Hash of what all results depend on: weights, settings, mask."""
    settings = run.config.restoration.to_dict()
    for name in ("images", "mask", "memory_gib", "num_images"):
        del settings[name]
    sampling = {k: v for k, v in report["sampling"].items() if k != "image_size"}
    return run.fingerprint({**settings, "sampling": sampling, "mask_pixels": mask})


def _identity(row: dict[str, Any]) -> str:
    """What tells a row of a report from the others: a result's key, or a refused file's path."""
    return row["path"] if "refused" in row else row["key"]


def _earlier_rows(folder: str, key: str, sources: list[_Source]) -> dict[str, dict[str, Any]]:
    """The rows of earlier calls that still hold, by `_identity`.

    A result's row holds as long as the result is there; a refusal, as long as the file is there and
    is not among those of this call.

    Args:
        folder: the folder of results; its report is next to it.
        key: the report's key. A report of another key, or a damaged one, has no rows.
        sources: the photographs of this call.
    """
    taken = {os.path.abspath(source.path) for source in sources}

    def holds(row: dict[str, Any]) -> bool:
        if "refused" in row:
            path = row.get("path", "")  # Refusals of earlier versions have none.
            return path not in taken and os.path.lexists(path)
        return os.path.lexists(os.path.join(folder, row["result"]))

    try:
        with open(f"{folder}.json", encoding="utf-8") as file:
            report = json.load(file)
        rows = report["files"] if report["key"] == key else []
        return {_identity(row): row for row in rows if holds(row)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_report(report: dict[str, Any], rows: dict[str, dict[str, Any]], folder: str) -> None:
    """Writes the report, with rows by `_identity`, next to the folder of results."""
    files = list(rows.values())
    write_json(report | _summary(files) | {"files": files}, f"{folder}.json")


def _restore_all(job: _Job, sources: list[_Source]) -> Iterator[dict[str, Any]]:
    """The row of each photograph, after its result is written."""
    for number, source in enumerate(sources, start=1):
        label = f"{number}/{len(sources)} {source.name}"
        try:
            # Before the photograph is read: one that replaces it meanwhile has another key.
            own_key = _own_key(job, source)
            row = _finished(job, source, own_key) or _restore_one(job, source, own_key, label)
        except _REFUSALS as error:
            path = os.path.abspath(source.path)
            row = {"file": source.name, "path": path, "refused": one_line(error)}
            _LOGGER.warning("%s: not restored: %s", label, row["refused"])
        yield row


def _own_key(job: _Job, source: _Source) -> str:
    """Hash of all that a result depends on."""
    try:
        return fingerprint(job.key, source.name, content_of_files([source.path]))[:12]
    except OSError as error:
        raise InvalidArgument("file", "be readable", f"{source.path} ({error})") from error


def _result_path(job: _Job, source: _Source, own_key: str) -> str:
    """Where a result is, or is to be written: never where that of another photograph is."""
    path = os.path.join(job.folder, source.result)
    is_free = not os.path.lexists(f"{path}.png")
    if is_free or (read_facts(f"{path}.png") or {}).get("key") == own_key:
        return f"{path}.png"
    return f"{path}_{own_key}.png"


def _finished(job: _Job, source: _Source, own_key: str) -> dict[str, Any] | None:
    """The row of a photograph whose result is there already."""
    facts = read_facts(_result_path(job, source, own_key))
    return facts if facts is not None and facts.get("key") == own_key else None


def _restore_one(job: _Job, source: _Source, own_key: str, label: str) -> dict[str, Any]:
    """Restores a photograph, writes the result, and returns its row."""
    restorer, start = job.restorer, time.monotonic()
    photograph = read_photograph(source.path)
    shape = photograph.pixels.shape
    restore_fn = restorer.from_measured if job.is_measured else restorer.from_original
    with errors_in_group("config.restoration"):
        num_tiles = restorer.max_tiles(shape, is_measured=job.is_measured)
        with job.progress.of(label, num_tiles):
            restored = restore_fn(photograph.pixels)
    if not np.isfinite(restored.pixels).all():
        raise RunError("the restored pixels are not finite numbers")
    result = _result_path(job, source, own_key)
    row = {
        "file": source.name,
        "result": os.path.relpath(result, job.folder),
        "size": list(shape[:2]),
        "restored_size": list(restored.pixels.shape[:2]),
        "channels": restored.pixels.shape[-1],
        "bits": photograph.bits,
        **_found(restored),
        "notes": list(photograph.notes),
        "seconds": round(time.monotonic() - start, 2),
        "key": own_key,
    }
    write_photograph(_as_photograph(restored, photograph), result, row)
    _LOGGER.info("%s: %s", label, _told(row))
    return row


def _told(row: dict[str, Any]) -> str:
    """A row of the report in short."""
    size, restored_size = ("{} x {}".format(*row[name]) for name in ("size", "restored_size"))
    parts = [size if size == restored_size else f"{size}, now {restored_size}"]
    if "noise_level" in row:
        parts.append(f"noise level {row['noise_level']:.3g}")
    if "psnr" in row:
        parts.append(f"PSNR {row['psnr']:.2f} dB, before {row['measured_psnr']:.2f}")
    return ", ".join([*parts, f"{row['seconds']:.1f} s", *row["notes"]])


def _found(restored: Restored) -> dict[str, float]:
    """The noise level that was found, and PSNR and SSIM, as far as they are known."""
    found = {}
    if restored.noise_level is not None:
        found["noise_level"] = round(restored.noise_level, 5)
    if restored.original is not None and restored.measured is not None:
        for name, pixels in {"": restored.pixels, "measured_": restored.measured}.items():
            pair = restored.original[None], pixels[None]
            found[f"{name}psnr"] = round(float(psnr(*pair)[0]), 3)
            # SSIM compares windows of at least 3 pixels.
            if min(pixels.shape[:2]) >= 3:
                found[f"{name}ssim"] = round(float(ssim(*pair)[0]), 4)
    return found


def _as_photograph(restored: Restored, photograph: Photograph) -> Photograph:
    """The restored pixels with transparency, bits and profile of the photograph."""
    height, width, channels = restored.pixels.shape
    alpha = photograph.alpha
    if alpha is not None and restored.original is not None:
        alpha = alpha[:height, :width]  # An original may have been cut.
    elif alpha is not None and alpha.shape != (height, width):
        resized = Image.fromarray(alpha).resize((width, height), Image.Resampling.BICUBIC)
        alpha = np.asarray(resized)
    profile = photograph.profile if photograph.pixels.shape[-1] == channels else None
    return dataclasses.replace(photograph, pixels=restored.pixels, alpha=alpha, profile=profile)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Numbers of restored and refused photographs, and means of PSNR and SSIM."""
    restored = [row for row in rows if "refused" not in row]
    summary: dict[str, Any] = {"restored": len(restored), "refused": len(rows) - len(restored)}
    for name in ("psnr", "ssim", "measured_psnr", "measured_ssim"):
        values = [row[name] for row in restored if name in row]
        if values:
            summary[name] = round(float(np.mean(values)), 4)
    return summary
