"""The evaluating run: numbers that say how they were made, and a report to look at."""

import dataclasses
import functools
import json
import logging
import os

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm import build, build_evaluation, pictures, views
from tf_mdsm.cluster import place
from tf_mdsm.datasets.batches import to_float
from tf_mdsm.drawing import draw, drawn_from, load
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation import parts
from tf_mdsm.evaluation.denoising import add_noise
from tf_mdsm.evaluation.features import Features
from tf_mdsm.evaluation.part import Part, load_part, read_likelihood, save_part
from tf_mdsm.evaluation.report import render_report
from tf_mdsm.evaluation.statistics import FeatureStatistics
from tf_mdsm.files import written_whole

__all__ = ["evaluate"]

_LOGGER = logging.getLogger(__name__)

# Noise levels at which images are denoised.
_LEVELS = 9

# Parts that look at samples.
_OF_SAMPLES = {"quality", "memorisation", "energies"}


def evaluate(config: ConfigDict, workdir: str) -> list[str]:
    """Evaluates the newest checkpoint of a run, part by part (`config.evaluation.parts`).

    A part that was computed from the same weights and settings is not computed again. The
    workers of a cluster share the drawing of samples; all else is the first one's.

    Returns:
        `workdir/evaluation/metrics.json` and `report.html`; none but for worker 0.

    Raises:
        InvalidArgument: without a checkpoint, or for data or features that do not fit, before
            anything is drawn.
        RunError: if something cannot be read, or a chain leaves the finite numbers.
    """
    config = ConfigDict(config.to_dict())
    config.sampling.num_samples = config.evaluation.num_samples
    subject = _Subject(config, workdir)
    todo = {
        "quality": subject.quality,
        "memorisation": subject.memorisation,
        "energies": subject.energies,
        "outliers": subject.outliers,
        "denoising": subject.denoising,
    }
    asked = config.evaluation.parts.split(",")
    names = [name for name in todo if name in asked or asked == ["all"]]
    subject.check(names)
    worker, _ = place(config.training.strategy, config.training.cluster)
    needs_samples = bool(_OF_SAMPLES & set(names))
    if (needs_samples and subject.samples is None) or worker:
        return []
    folder = os.path.join(workdir, "evaluation")
    found = {}
    for name in names:
        path = os.path.join(folder, "parts", f"{name}_{subject.key}")
        if not os.path.isdir(path):
            _LOGGER.info("%s …", name)
            save_part(todo[name](), path)
        found[name] = load_part(path)
    return _write(folder, config, subject, found)


class _Subject:
    """A run's newest checkpoint, and what is evaluated of it; loaded when first asked for."""

    def __init__(self, config: ConfigDict, workdir: str):
        self._config, self._settings, self._workdir = config, config.evaluation, workdir
        self._model, self._sampler, self._step = load(config, workdir, "")
        if views.is_plane(self._model.image_shape):
            raise InvalidArgument("--workdir", "hold a run on images, not on points", workdir)
        self._training, self._all_held_out = build.build_images(config)
        self._held_out = self._all_held_out[: self._settings.num_images]

    @functools.cached_property
    def key(self) -> str:
        """Of everything that results follow from, for names of files."""
        settings = self._settings.to_dict()
        del settings["parts"]
        return build.fingerprint({**drawn_from(self._config), "evaluation": settings}, self._model)

    @functools.cached_property
    def facts(self) -> dict[str, dict[str, object]]:
        """What all numbers follow from, and besides what those of samples follow from."""
        sampling = self._config.sampling
        model = {
            "step": self._step,
            "weights": "raw" if self._model.ema_network is None else "averaged",
            "version": tf_mdsm.__version__,
        }
        last = sampling.seed + sampling.num_samples - 1
        samples = {
            "sampler": sampling.sampler,
            "start": sampling.start,
            "seeds": f"{sampling.seed} … {last}",
            "gradients_per_image": self._sampler.gradients,
        }
        return {"model": model, "samples": samples}

    def check(self, names: list[str]) -> None:
        """Builds what the parts need, so that what does not fit is found before any drawing."""
        if self._settings.features == "none":
            if "quality" in names:
                needs = "be classifier or inception for the part quality"
                raise InvalidArgument("config.evaluation.features", needs, "none")
            return
        if {"quality", "memorisation"} & set(names):
            size, count = self._features.size, self._settings.num_samples
            if count < size:
                as_many = f"be at least the number of features ({size})"
                raise InvalidArgument("config.evaluation.num_samples", as_many, count)
        if "quality" in names:
            _ = self._reference
        _ = self._foreign

    @functools.cached_property
    def samples(self) -> dict[str, np.ndarray] | None:
        """`images`, `energies` and `chain_states`; None for workers that are not the first."""
        stem = os.path.join(self._workdir, "evaluation", f"samples_{self.key}")
        if not os.path.exists(f"{stem}.npz"):
            drawing = draw(self._config, self._workdir, stem)
            if drawing is None:
                return None
            drawn = drawing.shards.load(["images", "energies"])
            states = drawing.shards.read(0, ["chain_states"])
            with written_whole(f"{stem}.npz") as partial:
                np.savez_compressed(partial, **drawn, **states)
            drawing.shards.remove()
        with np.load(f"{stem}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def quality(self) -> Part:
        images, name = self._reference_images
        # As many as there are samples, evenly from all.
        chosen = images[:: max(1, len(images) // self._settings.num_samples)]
        part = parts.appraise_quality(
            self._features,
            self.samples["images"],
            self._all_held_out,
            self._reference,
            os.path.basename(self._settings.reference_statistics) or name,
            chosen[: self._settings.num_samples],
            name,
        )
        states = self.samples["chain_states"]
        shown = np.unique(np.linspace(0, len(states) - 1, 14).astype(int))
        rows = states[shown].swapaxes(0, 1).reshape(-1, *states.shape[2:])
        chain = pictures.image_grid(rows, columns=len(shown))
        return dataclasses.replace(part, pictures={**part.pictures, "From noise to images": chain})

    def memorisation(self) -> Part:
        return parts.appraise_memorisation(
            self.samples["images"], self._training, self._held_out, self._features
        )

    def energies(self) -> Part:
        sigma = float(np.sqrt(self._config.noise.sigma_min * self._config.noise.sigma_max))
        clean = to_float(tf.constant(self._held_out)).numpy()
        sets = {
            "training images": self._training[: self._settings.num_images],
            "held-out images": self._held_out,
            "samples": self.samples["images"][: self._settings.num_images],
            f"held-out images, noise {sigma:.2g}": add_noise(clean, sigma, self._settings.seed),
        }
        return parts.appraise_energies(self._model.energy, {**sets, **self._foreign})

    def outliers(self) -> Part:
        return parts.appraise_outliers(
            self._model.energy_and_score,
            self._model.noise.sigma0,
            self._held_out,
            self._foreign,
        )

    def denoising(self) -> Part:
        noise = self._config.noise
        sigmas = np.geomspace(noise.sigma_min, noise.sigma_max, _LEVELS)
        return parts.appraise_denoising(
            self._model.denoise, self._held_out, sigmas, self._settings.seed
        )

    @functools.cached_property
    def _features(self) -> Features | None:
        if self._settings.features == "none":
            return None
        return build_evaluation.build_features(self._config, self._workdir, self._training)

    @functools.cached_property
    def _reference(self) -> FeatureStatistics:
        images, _ = self._reference_images
        return build_evaluation.build_reference(self._config, self._workdir, self._features, images)

    @property
    def _reference_images(self) -> tuple[np.ndarray, str]:
        return build_evaluation.build_reference_images(
            self._config, self._training, self._all_held_out
        )

    @functools.cached_property
    def _foreign(self) -> dict[str, np.ndarray]:
        return build_evaluation.build_foreign(self._config, self._held_out)


def _write(folder: str, config: ConfigDict, subject: _Subject, found: dict[str, Part]) -> list[str]:
    """All numbers with what they follow from, and the report."""
    estimated = read_likelihood(os.path.join(folder, "likelihood"))
    if estimated is not None:
        found = {**found, "likelihood": estimated}
    facts = subject.facts
    metrics = [
        {**facts["model"], **(facts["samples"] if metric["of"] == "samples" else {}), **metric}
        for part in found.values()
        for metric in part.metrics
    ]
    written = [os.path.join(folder, name) for name in ("metrics.json", "report.html")]
    data = config.data
    shown = {
        "data": f"{data.source} {data.name or data.path}".strip(),
        "network": f"{config.network.name}, {config.network.channels} channels",
        **facts["model"],
        **facts["samples"],
    }
    title = f"Evaluation of {os.path.basename(os.path.normpath(os.path.dirname(folder)))}"
    page = render_report(title, shown, found, config.to_dict())
    for path, text in zip(
        written, (json.dumps({"metrics": metrics}, indent=2) + "\n", page), strict=True
    ):
        with written_whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
            file.write(text)
    return written
