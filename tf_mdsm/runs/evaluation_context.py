"""What an evaluation works with: a run's checkpoint, its images, samples and features."""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm.config.rules import likelihood_sigmas
from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation import sections
from tf_mdsm.evaluation.denoising import add_noise
from tf_mdsm.evaluation.feature_statistics import FeatureStatistics
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.section_files import Section
from tf_mdsm.runs.build_evaluation import (
    build_features,
    build_out_of_distribution,
    build_reference,
    build_reference_images,
    label_key,
    require_enough,
)
from tf_mdsm.runs.build_likelihood import build_bound, fit_to_images
from tf_mdsm.runs.image_record import build_images_of_run, image_key
from tf_mdsm.runs.loaded_run import LoadedRun
from tf_mdsm.runs.sharded_sampling import sample_in_shards, sampling_settings
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.system.fingerprints import content_of_path
from tf_mdsm.visualization.images import sampling_strip
from tf_mdsm.visualization.model_views import is_points
from tf_mdsm.weightings import trains_denoiser

__all__ = ["EvaluationContext"]

# Number of noise levels at which images are denoised.
_NUM_LEVELS = 9

# Levels of the ancestral chain whose likelihood detects outliers.
_LIKELIHOOD_LEVELS = 16

# Seconds for which other workers wait until the first one begins to sample: it loads or trains
# the features before.
_WAIT_SECONDS = 3_600

# Sections of an evaluation, in the order of the report, and the fields of config.evaluation
# that each depends on.
_FIELDS = {
    "quality": ("features", "inception_path", "reference", "reference_statistics"),
    "memorisation": ("features", "inception_path", "num_images"),
    "energies": ("num_images", "seed", "foreign"),
    "outliers": ("num_images", "seed", "foreign"),
    "denoising": ("num_images", "seed"),
}

# Sections that look at samples.
_OF_SAMPLES = {"quality", "memorisation", "energies"}


class EvaluationContext:
    """A run's checkpoint, its images and samples, and the sections computed from them.

    `prepare` comes first, then `sample`, then `compute`.

    Args:
        run: the loaded run; `config.sampling.num_samples` samples are evaluated.

    Attributes:
        run: as given.

    Raises:
        InvalidArgument: for a run on points of the plane, for images that cannot be read, and for
            samples of another size than that of the images with which a part compares them.
    """

    def __init__(self, run: LoadedRun):
        self.run, self._config, self._settings = run, run.config, run.config.evaluation
        if is_points(run.image_shape):
            on_images = "hold a run on images, not on points"
            raise InvalidArgument("--workdir", on_images, run.folder.path)
        self._require_comparable_samples()
        self._training, self._all_validation = build_images_of_run(run.config, run.folder)
        self._validation = self._all_validation[: self._settings.num_images]
        # Loaded by `prepare`.
        self._features: FeatureExtractor | None = None
        self._reference: FeatureStatistics
        self._out_of_distribution: dict[str, np.ndarray]

    @property
    def section_names(self) -> list[str]:
        """The sections that `config.evaluation.parts` asks for, in the order of the report.

        "all" leaves out the denoising of a model that is no denoiser.
        """
        names = self._settings.parts.split(",")
        chosen = [name for name in _FIELDS if name in names or names == ["all"]]
        if not self._has_denoiser and "denoising" in chosen:
            chosen.remove("denoising")
        return chosen

    def _require_comparable_samples(self) -> None:
        """Refuses samples of another size than the training images if their pixels are compared."""
        size, image_size = self._config.data.image_size, self._config.sampling.image_size
        if image_size not in (0, size) and "memorisation" in self.section_names:
            requirement = f"be 0 or {size} for the part memorisation, which compares pixels"
            raise InvalidArgument("config.sampling.image_size", requirement, image_size)

    @property
    def _has_denoiser(self) -> bool:
        """Whether D(x) is a blind denoiser, which also estimates noise levels."""
        return trains_denoiser(self._config.noise.weighting)

    @staticmethod
    def needs_samples(names: list[str]) -> bool:
        """Whether one of these sections looks at samples."""
        return bool(_OF_SAMPLES & set(names))

    def key(self, section: str) -> str:
        """A hash of everything that a section depends on, for the name of its folder."""
        settings = {name: self._settings[name] for name in _FIELDS[section]}
        for name in {"inception_path", "reference_statistics"} & settings.keys():
            if settings[name]:
                settings[name] = content_of_path(os.path.expanduser(settings[name]))
        if "foreign" in settings:
            settings["foreign"] = self._foreign_images
        if "features" in settings and (labels := self._labels):
            settings["labels"] = labels
        if section == "outliers":
            _, settings["sigma_min"] = likelihood_sigmas(self._config)
        return self.run.fingerprint(
            {
                **sampling_settings(self._config),
                "images": self._images,
                "evaluation": settings,
                "version": tf_mdsm.__version__,
            }
        )

    @functools.cached_property
    def _images(self) -> str:
        """What the run's images are known by, and how they are split and resized."""
        return image_key(self._config.data)

    @functools.cached_property
    def _labels(self) -> str:
        """What the labels of `config.evaluation.features` are known by, as by `label_key`."""
        return label_key(self._config)

    @functools.cached_property
    def _foreign_images(self) -> str:
        """What the images of `config.evaluation.foreign` are known by; "" for none."""
        if not self._settings.foreign.source:
            return ""
        foreign = ConfigDict(self._config.data.to_dict())
        with foreign.unlocked():
            foreign.update(self._settings.foreign.to_dict())
        return image_key(foreign)

    def prepare(self, names: list[str]) -> None:
        """Loads features, reference and other images for these sections, before any sampling.

        Raises:
            InvalidArgument: for features, reference images or other data that do not fit.
        """
        if {"quality", "memorisation"} & set(names):
            self._features = self._load_features()
        if "quality" in names:
            features, count = self._require_features(), self._settings.num_samples
            require_enough(features, count, "config.evaluation.num_samples")
            images, _ = self._reference_images
            self._reference = build_reference(self._config, self.run.folder, features, images)
        if {"energies", "outliers"} & set(names):
            self._out_of_distribution = build_out_of_distribution(self._config, self._validation)

    def sample(self) -> None:
        """Samples what is missing, together with the other workers; the chief keeps the result.

        Raises:
            RunError: if an energy is not finite.
        """
        if os.path.exists(self._samples_path):
            return
        stem = self._samples_path.removesuffix(".npz")
        samples = sample_in_shards(
            self._config, self.run.folder.path, stem, run=self.run, wait_seconds=_WAIT_SECONDS
        )
        if not samples.is_chief:
            return
        arrays = samples.shards.load(["images", "energies"])
        arrays |= samples.shards.read(0, ["chain_states"])
        with atomic_write(self._samples_path) as partial:
            np.savez_compressed(partial, **arrays)  # pyright: ignore[reportArgumentType]
        samples.shards.remove()

    def compute(self, name: str) -> Section:
        """Computes one section; `sample` comes first if the section looks at samples."""
        computations: dict[str, Callable[[], Section]] = {
            "quality": self._quality,
            "memorisation": self._memorization,
            "energies": self._energies,
            "outliers": self._outliers,
            "denoising": self._denoising,
        }
        return computations[name]()

    def _quality(self) -> Section:
        """Distances between samples and reference images."""
        count = self._settings.num_samples
        # Next to the samples, real images that are not among the reference images.
        others = {"validation images": self._all_validation}
        if self._settings.reference == "held_out":
            others = {"training images": self._training}
        images, name = self._reference_images
        some = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
        section = sections.evaluate_quality(
            self._require_features(),
            {
                "samples": self._samples["images"],
                **{of: images[:count] for of, images in others.items()},
            },
            reference=self._reference,
            reference_name=os.path.basename(self._settings.reference_statistics) or name,
            reference_images=images[some],
            reference_images_name=name,
        )
        strip = sampling_strip(self._samples["chain_states"])
        pictures = {**section.pictures, "From noise to images": strip}
        return dataclasses.replace(section, pictures=pictures)

    def _memorization(self) -> Section:
        """Samples next to their nearest training images."""
        return sections.evaluate_memorization(
            samples=self._samples["images"],
            training=self._training,
            validation=self._validation,
            extractor=self._features,
        )

    def _energies(self) -> Section:
        """Energies of training images, validation images, samples, and other images."""
        sigma = float(np.sqrt(self._config.noise.sigma_min * self._config.noise.sigma_max))
        clean = to_float_array(self._validation)
        sets = {
            "training images": self._training[: self._settings.num_images],
            "validation images": self._validation,
            "samples": self._samples["images"][: self._settings.num_images],
            f"validation images, noise {sigma:.2g}": add_noise(clean, sigma, self._settings.seed),
        }
        return sections.evaluate_energies(
            self.run.model.energy, {**sets, **self._out_of_distribution}
        )

    def _outliers(self) -> Section:
        """Detection of out-of-distribution images by energy, gradient and likelihood."""
        first, last = likelihood_sigmas(self._config)
        has_start = self._config.sampling.start != "images" and last <= first
        has_likelihood = self._has_denoiser and has_start
        return sections.evaluate_outliers(
            self.run.model.energy_and_score,
            sigma0=self.run.model.noise.sigma0 if self._has_denoiser else None,
            validation=self._validation,
            outliers=self._out_of_distribution,
            other_scores={"likelihood": self._likelihood_score()} if has_likelihood else None,
        )

    def _likelihood_score(self) -> Callable[[np.ndarray], np.ndarray]:
        """The bound of -log P(x) by an ancestral chain of few levels, as a function of images."""
        config = ConfigDict(self._config.to_dict())
        config.likelihood.update(num_levels=_LIKELIHOOD_LEVELS, seed=self._settings.seed)
        run = dataclasses.replace(self.run, config=config)
        bound = build_bound("bound", run, fit_to_images(run, self._training, self._all_validation))

        def score(images: np.ndarray) -> np.ndarray:
            seeds = self._settings.seed + np.arange(len(images))
            batch_size = self._config.likelihood.batch_size
            return batchwise(
                lambda batch, seeds: bound.terms(batch, seeds).total,
                images,
                seeds,
                batch_size=batch_size,
            )

        return score

    def _denoising(self) -> Section:
        """Denoising at known noise levels over the trained range."""
        noise = self._config.noise
        sigmas = np.unique(np.geomspace(noise.sigma_min, noise.sigma_max, _NUM_LEVELS))
        return sections.evaluate_denoising(
            self.run.model.denoise,
            validation=self._validation,
            sigmas=sigmas,
            seed=self._settings.seed,
        )

    def _load_features(self) -> FeatureExtractor | None:
        """The features of `config.evaluation.features`; None for "none"."""
        if self._settings.features == "none":
            return None
        return build_features(self._config, self.run.folder, self._training, self._all_validation)

    def _require_features(self) -> FeatureExtractor:
        """The features; refuses an evaluation without them."""
        if self._features is None:
            needs = "name features, not none, for the part quality"
            raise InvalidArgument("config.evaluation.features", needs, "none")
        return self._features

    @property
    def _reference_images(self) -> tuple[np.ndarray, str]:
        """The images that samples are compared with, and their name."""
        return build_reference_images(self._config, self._training, self._all_validation)

    @property
    def _samples_path(self) -> str:
        """The file that keeps the samples, named after all that they depend on."""
        key = self.run.fingerprint(sampling_settings(self._config))
        return f"{self.run.folder.evaluation_samples_stem(key)}.npz"

    @functools.cached_property
    def _samples(self) -> dict[str, np.ndarray]:
        """`images`, `energies` and `chain_states`, as `sample` has written them."""
        with np.load(self._samples_path, allow_pickle=False) as arrays:
            return dict(arrays)
