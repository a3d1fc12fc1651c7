"""The entrance from Python: train a run, load it, use it, export it."""

import dataclasses
import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.defaults import default_config
from tf_mdsm.config.file import get_config, load_config, load_recipe
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.datasets.pixels import as_images
from tf_mdsm.distributed.gpus import set_up_gpus
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, errors_about, errors_renamed
from tf_mdsm.restoration.operators import LinearOperator
from tf_mdsm.restoration.solve import restore
from tf_mdsm.runs.build_likelihood import Fit, build_bound, fit_to_images
from tf_mdsm.runs.evaluate import evaluate_run
from tf_mdsm.runs.export import export_model, run_provenance
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import build_images_of_run
from tf_mdsm.runs.likelihood_reports import find_likelihood
from tf_mdsm.runs.loaded_run import LoadedRun, has_guide, kind_of_weights, load_run
from tf_mdsm.runs.sharded_sampling import stored_pixels
from tf_mdsm.runs.train import train as run_training
from tf_mdsm.samplers.base import Method
from tf_mdsm.samplers.sampling import checked_method, sample
from tf_mdsm.samplers.sized import sized
from tf_mdsm.samplers.values import whole_number
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.system.local_paths import local_path

__all__ = ["Run", "export", "load", "train"]


class Run(LoadedRun):
    """A run, loaded: what `load` returns.

        run = tf_mdsm.load("runs/digits")
        images = run.sample(16, seed=0)
        energy = run.model.energy(images / 255)

    Attributes:
        config: its configuration, with the overrides of `load`.
        model: the energy with the weights of the checkpoint, an `EnergyModel`.
        target: what is sampled: the model, for images of one size, with a guide perhaps.
        method: the method of `config.sampling`.
        step: training step of the checkpoint.
        statistics: mean and covariance of the training images; None if the run keeps none.
        folder: the paths of its files.
    """

    def sample(self, num_samples: int, *, seed: int = 0) -> np.ndarray:
        """Samples images by the run's own method. Image n has the seed `seed + n`.

        Returns:
            the array `images` of the file that `--mode=sample` writes with these settings: uint8
            [N, H, W, C], or float32 for points of the plane. It is the same bit for bit, but up to
            rounding on two cores, where the program divides batches. `tf_mdsm.sample(run.target,
            run.method, seeds=...)` gives the images as float32, not clipped.

        Raises:
            InvalidArgument: for a number below 1, or a seed that is negative.
            RunError: if an energy is not finite.
        """
        count = whole_number("num_samples", num_samples)
        images = sample(
            self.target,
            self.method,
            seeds=range(seed, seed + count),
            batch_size=self.config.sampling.batch_size,
        )
        return stored_pixels(images)

    def restore(
        self,
        values: np.ndarray | tf.Tensor,
        operator: LinearOperator,
        *,
        seeds: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Restores images as `tf_mdsm.restore`, by the method of `config.restoration`.

        Raises:
            InvalidArgument: for an operator, values or seeds that do not fit.
            RunError: if the restored images are not finite.
        """
        return restore(
            self.model,
            values,
            operator,
            seeds=seeds,
            method=self.restoration_method,
            batch_size=self.config.sampling.batch_size,
        )

    def log_likelihood(
        self, images: np.ndarray | tf.Tensor, *, method: str = "bound", seed: int = 0
    ) -> np.ndarray:
        """Logarithms of the likelihood of images in nats, by a method of `--mode=likelihood`.

        Divided by -(H W C log 2) they are bits per dimension. "bound" and "flow" are lower bounds,
        with one random draw for each image; levels and decoder are fitted to the run's training
        images, which are read for it. "ais" is -E / T - log Z by the log Z of the run's folder.

        Args:
            images: uint8, or floats in [0, 1], [N, H, W, C].
            method: "bound", "flow" or "ais".
            seed: seed of the first image's noise; image n has `seed + n`.

        Returns:
            float64 [N].

        Raises:
            InvalidArgument: for another method; for images of another shape; for "bound" and "flow"
                if the run trains no denoiser; for "ais" if the run's folder has no log Z of these
                weights that has converged.
            RunError: if the flow is not finite.
        """
        pixels = as_images(images, self.image_shape).numpy()
        if method == "ais":
            return self._log_likelihood_by_log_z(pixels)
        with errors_renamed({"config.likelihood.method": "method"}):
            config = with_overrides(self.config, {"likelihood.method": method})
            if method == "all":
                raise InvalidArgument("method", "be bound, flow or ais", method)
        run = dataclasses.replace(self, config=config)
        bound = build_bound(method, run, self._likelihood_fit)
        seeds = seed + np.arange(len(pixels))
        batch_size = config.likelihood.batch_size
        return -batchwise(
            lambda batch, seeds: bound.terms(batch, seeds).total,
            pixels,
            seeds,
            batch_size=batch_size,
        )

    @functools.cached_property
    def _likelihood_fit(self) -> Fit:
        """Levels and decoder, fitted to the run's training images."""
        return fit_to_images(self, *build_images_of_run(self.config, self.folder))

    def _log_likelihood_by_log_z(self, pixels: np.ndarray) -> np.ndarray:
        """By the log Z that `--mode=likelihood` has found for these weights."""
        found = find_likelihood(self, "ais")
        if found is None or found[0]["log_z"] is None:
            requirement = "be bound or flow, as the run's folder has no converged log Z"
            raise InvalidArgument("method", requirement, "ais")
        report, _ = found
        settings = report["settings"]
        energies = batchwise(self.model.energy, pixels, batch_size=settings["batch_size"])
        nats = np.asarray(energies, np.float64) / settings["temperature"] + report["log_z"]
        return -(nats + pixels[0].size * math.log(2) * report["cells"]["bits"])

    def evaluate(self) -> list[dict[str, Any]]:
        """Evaluates the run as `--mode=evaluate`, and writes the same report into its folder.

        `load(workdir, overrides={"evaluation.num_samples": 1_000})` says what is evaluated. What
        was computed before from the same weights and settings is not computed again.

        Returns:
            the metrics, each a dictionary with `name`, `value`, and what it depends on.

        Raises:
            InvalidArgument: for data or features that do not fit, before anything is sampled.
            RunError: if something cannot be read, or an energy is not finite.
        """
        with errors_renamed({"--workdir": "workdir"}):
            evaluate_run(self)
        with open(self.folder.metrics, encoding="utf-8") as file:
            return json.load(file)["metrics"]


def load(
    workdir: str | os.PathLike,
    checkpoint: str | int | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Run:
    """Loads a run of the command line, or of `train`.

    The run's `training.tensor_float_32` becomes the setting of the process, and its
    `training.memory_growth` unless TensorFlow uses the GPUs already. So of several runs the one
    that was loaded last decides how all of them round.

    Args:
        workdir: the run's folder.
        checkpoint: "newest", "best" (for runs with `training.evaluate_every`), "guide" (with
            `training.guide_step`), or the step of a checkpoint that is kept. None:
            `config.checkpoint`, which is "newest" by default.
        overrides: settings to change, by "group.field": `{"sampling.sampler": "ancestral"}`.

    Raises:
        InvalidArgument: for a folder that is no run, without a checkpoint, or for settings that
            do not fit.
        RunError: if the checkpoint cannot be read.
    """
    path = local_path("workdir", workdir)
    with errors_renamed({"--workdir": "workdir", "config.checkpoint": "checkpoint"}):
        config = with_overrides(get_config(path), overrides)
        _set_up_gpus(config)
        loaded = load_run(config, path, checkpoint=checkpoint)
    return Run(**{field: getattr(loaded, field) for field in LoadedRun.__dataclass_fields__})


def train(
    config: ConfigDict | str | os.PathLike,
    workdir: str | os.PathLike,
    overrides: Mapping[str, object] | None = None,
) -> Run:
    """Trains a run, or continues it, exactly as `--mode=train` does: it is the same function.

    Args:
        config: the settings, `default_config()` with changes; or the path of a recipe (.py) or of
            a run's config.json.
        workdir: the run's folder. A run in it continues at its newest checkpoint.
        overrides: settings to change, by "group.field": `{"training.num_steps": 100}`.

    Returns:
        the trained run; without a guide if it ended before one was kept (`training.guide_step`).

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used, before step 1.
        KeyboardInterrupt: after Ctrl-C, when everything is saved; the next call continues.
        RunError: if the loss is not finite and no rollback is left, or a checkpoint cannot be
            written or read.
    """
    path = local_path("workdir", workdir)
    config = with_overrides(_read_config(config), overrides)
    with errors_renamed({"--workdir": "workdir"}):
        _set_up_gpus(config)
        run_training(config, path)
    of_guide = {} if has_guide(RunFolder(path)) else {"guidance": 1.0}
    return load(path, "newest", {**(overrides or {}), **of_guide})


def export(
    source: Run | EnergyModel,
    path: str | os.PathLike,
    *,
    method: Method | None = None,
    image_size: int | Sequence[int] | None = None,
    format: str = "saved_model",
    batch_sizes: Sequence[int] = (1, 16),
) -> None:
    """Writes what `--mode=export` writes: a SavedModel, or StableHLO programs.

    It has the signatures sample, energy, score, denoise, noise_level and inpaint. A SavedModel
    takes requests of at most the run's `export.max_batch_size` images; 64 if a model is given.

    Args:
        source: a run, or a model.
        path: the folder to write, which must not exist, "served/export/1". For a server its name
            is a version number, and `launch/serve.sh served` looks for it in `served/export`.
        method: how `sample` and `inpaint` sample. None: the run's, or `default_method(model)`.
        image_size: height and width, or one number for both, of the images that are sampled, for a
            network of images of any size; StableHLO programs take images of this size only.
            None: the run's, or the network's own.
        format: "saved_model", for TensorFlow and TensorFlow Serving, or "stablehlo", for XLA
            without TensorFlow (`tf_mdsm.serving.StableHloModel`).
        batch_sizes: numbers of images for which StableHLO programs are written.

    Raises:
        InvalidArgument: for another source or format, if something exists at the path, or for
            "stablehlo" without jaxlib.
        RunError: if it cannot be written, or if the written model gives other answers than the
            model in memory.
    """
    folder = local_path("path", path)
    if os.path.exists(folder):
        raise InvalidArgument("path", "not exist yet", folder)
    if isinstance(source, Run):
        model, config, default = source.model, source.config, source.method
        target = source.target if image_size is None else source.target_of_size(image_size)
        provenance = run_provenance(source, method and checked_method(model, method))
    elif isinstance(source, EnergyModel):
        model, config, default = source, default_config(), None
        target = sized(model, image_size)
        provenance = {"step": None, "weights": kind_of_weights(source), "config": None}
    else:
        raise InvalidArgument("source", "be a Run or an EnergyModel", type(source).__name__)
    if format == "torch":
        raise InvalidArgument("format", "be saved_model or stablehlo", format)
    settings = {"export.format": format, "export.batch_sizes": ",".join(map(str, batch_sizes))}
    names = {"config.export.format": "format", "config.export.batch_sizes": "batch_sizes"}
    with errors_renamed(names):
        export_model(
            model,
            checked_method(model, method or default),
            folder,
            with_overrides(config, settings).export,
            target=target,
            provenance=provenance,
        )


def _read_config(config: ConfigDict | str | os.PathLike) -> ConfigDict:
    """Settings as given, or of a recipe or a config.json."""
    if isinstance(config, ConfigDict):
        return config
    if not isinstance(config, str | os.PathLike):
        requirement = "be a ConfigDict, or the path of a recipe or of a config.json"
        raise InvalidArgument("config", requirement, type(config).__name__)
    path = local_path("config", config)
    with errors_about("config"):
        return load_config(path) if path.endswith(".json") else load_recipe(path)


def _set_up_gpus(config: ConfigDict) -> None:
    """As the program does: the run's rounding, and its way of taking memory."""
    training = config.training
    set_up_gpus(tensor_float_32=training.tensor_float_32, memory_growth=training.memory_growth)
