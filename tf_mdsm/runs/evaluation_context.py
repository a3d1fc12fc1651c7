"""What is evaluated: a run's checkpoint, its samples, its images, and each part of it."""

import dataclasses
import functools
import hashlib
import os

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation import sections
from tf_mdsm.evaluation.denoising import add_noise
from tf_mdsm.evaluation.feature_statistics import FeatureStatistics
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.section_files import Section
from tf_mdsm.runs import build_evaluation
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.sharded_sampling import draw, load, sampling_settings
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import model_views as views

__all__ = ["EvaluationContext"]

# Noise levels at which images are denoised.
_LEVELS = 9

# Seconds for which other workers wait for the first one to begin drawing.
_PATIENCE = 3_600

# Fields of config.evaluation that a part follows from.
_FIELDS = {
    "quality": ("features", "inception_path", "reference", "reference_statistics"),
    "memorisation": ("features", "inception_path", "num_images"),
    "energies": ("num_images", "seed", "foreign"),
    "outliers": ("num_images", "seed", "foreign"),
    "denoising": ("num_images", "seed"),
}


class EvaluationContext:
    """A run's checkpoint, and what is evaluated of it; loaded when first asked for."""

    def __init__(self, config: ConfigDict, workdir: str):
        self._config, self._settings, self._workdir = config, config.evaluation, workdir
        self._loaded = load(config, workdir, "")
        self._model, self._sampler, self._step = self._loaded
        self._drawn_from = sampling_settings(config)
        if views.is_points(self._model.image_shape):
            raise InvalidArgument("--workdir", "hold a run on images, not on points", workdir)
        self._training, self._all_held_out = build.build_images(config)
        self._held_out = self._all_held_out[: self._settings.num_images]

    def key(self, part: str) -> str:
        """Of everything that a part follows from, for the name of its folder."""
        settings = {name: self._settings[name] for name in _FIELDS[part]}
        if "foreign" in settings:
            settings["foreign"] = settings["foreign"].to_dict()
        if settings.get("reference_statistics"):
            with open(os.path.expanduser(settings["reference_statistics"]), "rb") as file:
                settings["reference_statistics"] = hashlib.sha256(file.read()).hexdigest()
        relevant = {**self._drawn_from, "evaluation": settings, "version": tf_mdsm.__version__}
        return build.fingerprint(relevant, self._model)

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
            "gradients_per_image": self._sampler.max_gradient_evaluations,
        }
        return {"model": model, "samples": samples}

    def check(self, names: list[str]) -> None:
        """Builds what the parts need, so that what does not fit is found before any drawing."""
        if "quality" in names:
            if self._features is None:
                needs = "be classifier or inception for the part quality"
                raise InvalidArgument("config.evaluation.features", needs, "none")
            count = self._settings.num_samples
            build_evaluation.require_enough(self._features, count, "config.evaluation.num_samples")
            _ = self._reference
        if "memorisation" in names:
            _ = self._features
        if {"energies", "outliers"} & set(names):
            _ = self._foreign

    @functools.cached_property
    def samples(self) -> dict[str, np.ndarray] | None:
        """`images`, `energies` and `chain_states`; None for workers that are not the first."""
        key = build.fingerprint(self._drawn_from, self._model)
        stem = os.path.join(self._workdir, "evaluation", f"samples_{key}")
        if not os.path.exists(f"{stem}.npz"):
            drawing = draw(self._config, self._workdir, stem, self._loaded, _PATIENCE)
            if drawing is None:
                return None
            drawn = drawing.shards.load(["images", "energies"])
            states = drawing.shards.read(0, ["chain_states"])
            with atomic_write(f"{stem}.npz") as partial:
                np.savez_compressed(partial, **drawn, **states)
            drawing.shards.remove()
        with np.load(f"{stem}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def quality(self) -> Section:
        images, name = self._reference_images
        count = self._settings.num_samples
        # Beside the samples, images that are none of the reference's.
        others = {"validation images": self._all_held_out}
        if self._settings.reference == "held_out":
            others = {"training images": self._training}
        section = sections.evaluate_quality(
            self._features,
            {"samples": self.samples["images"], **{of: s[:count] for of, s in others.items()}},
            reference=self._reference,
            reference_name=os.path.basename(self._settings.reference_statistics) or name,
            reference_images=images[
                np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
            ],
            reference_images_name=name,
        )
        chain = pictures.sampling_strip(self.samples["chain_states"])
        return dataclasses.replace(
            section, pictures={**section.pictures, "From noise to images": chain}
        )

    def memorisation(self) -> Section:
        return sections.evaluate_memorization(
            samples=self.samples["images"],
            training=self._training,
            validation=self._held_out,
            extractor=self._features,
        )

    def energies(self) -> Section:
        sigma = float(np.sqrt(self._config.noise.sigma_min * self._config.noise.sigma_max))
        clean = to_float(tf.constant(self._held_out)).numpy()
        sets = {
            "training images": self._training[: self._settings.num_images],
            "validation images": self._held_out,
            "samples": self.samples["images"][: self._settings.num_images],
            f"validation images, noise {sigma:.2g}": add_noise(clean, sigma, self._settings.seed),
        }
        return sections.evaluate_energies(self._model.energy, {**sets, **self._foreign})

    def outliers(self) -> Section:
        return sections.evaluate_outliers(
            self._model.energy_and_score,
            sigma0=self._model.noise.sigma0,
            validation=self._held_out,
            outliers=self._foreign,
        )

    def denoising(self) -> Section:
        noise = self._config.noise
        sigmas = np.unique(np.geomspace(noise.sigma_min, noise.sigma_max, _LEVELS))
        return sections.evaluate_denoising(
            self._model.denoise,
            validation=self._held_out,
            sigmas=sigmas,
            seed=self._settings.seed,
        )

    @functools.cached_property
    def _features(self) -> FeatureExtractor | None:
        if self._settings.features == "none":
            return None
        return build_evaluation.build_features(
            self._config, self._workdir, self._training, self._all_held_out
        )

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
        return build_evaluation.build_out_of_distribution(self._config, self._held_out)
