"""Trained runs as benchmarks evaluate them: noise left, samples, outliers, Fréchet distances.

TensorFlow is imported by the functions, not by the module: a wrong call is refused before that.
"""

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from benchmarks.recipes import with_sampling
from tf_mdsm.errors import InvalidArgument

if TYPE_CHECKING:
    from tf_mdsm.energy_model import EnergyModel
    from tf_mdsm.runs.loaded_run import LoadedRun

__all__ = ["FrechetDistance", "TrainedModel", "load_trained_model", "require_enough_samples"]

# Size of the classifier's features. Their covariance needs at least as many images.
_FEATURES = 64


def require_enough_samples(count: int) -> None:
    """Checks `--num_samples`.

    Raises:
        InvalidArgument: for fewer samples than features.
    """
    if count < _FEATURES:
        at_least = f"be at least the number of features ({_FEATURES})"
        raise InvalidArgument("--num_samples", at_least, count)


# Training images with which precision and recall compare.
_PRECISION_IMAGES = 10_000


class FrechetDistance:
    """Fréchet distance of images to the training images, in features of `config.evaluation`.

    A classifier is trained here (tf_mdsm/evaluation/classifier.py): the distances can be compared
    with each other only.

    Args:
        config: a configuration with labelled data.
        workdir: folder that keeps the classifier and the training images' statistics.

    Attributes:
        validation_images: of the same data, [N, H, W, C].
        features: name and fingerprint of the features.

    Raises:
        InvalidArgument: for data without labels.
    """

    def __init__(self, config: ConfigDict, workdir: str):
        from tf_mdsm.runs.build_data import build_images
        from tf_mdsm.runs.build_evaluation import build_features, build_reference
        from tf_mdsm.runs.folder import RunFolder

        os.makedirs(workdir, exist_ok=True)
        folder = RunFolder(workdir)
        training_images, self.validation_images = build_images(config)
        features = build_features(config, folder, training_images, self.validation_images)
        self._features = features
        self._training_images = training_images
        self._some_training_features: np.ndarray | None = None
        self._reference = build_reference(config, folder, features, training_images)
        self.features = f"{features.name}, {features.fingerprint}"

    def of(self, images: np.ndarray) -> float | None:
        """The distance of images, uint8 [N, H, W, C]; None for fewer images than features."""
        from tf_mdsm.evaluation.feature_statistics import fit_feature_statistics
        from tf_mdsm.evaluation.sample_quality import frechet_distance

        if len(images) < self._features.size:
            return None
        values, _ = self._features.extract(images)
        return frechet_distance(fit_feature_statistics([values]), self._reference)

    def precision_and_recall(self, images: np.ndarray) -> tuple[float, float]:
        """Precision and recall of images, uint8 [N, H, W, C], against 10,000 training images."""
        from tf_mdsm.evaluation.sample_quality import precision_and_recall

        if self._some_training_features is None:
            some = self._training_images[:_PRECISION_IMAGES]
            self._some_training_features, _ = self._features.extract(some)
        return precision_and_recall(self._features.extract(images)[0], self._some_training_features)

    def require_enough(self, count: int) -> None:
        """Checks `--num_samples` for these features, whichever the configuration names.

        Raises:
            InvalidArgument: for fewer samples than features.
        """
        from tf_mdsm.runs.build_evaluation import require_enough

        require_enough(self._features, count, "--num_samples")

    def of_validation_images(self, count: int) -> float | None:
        """The distance of `count` validation images, or of all if there are fewer."""
        return self.of(self.validation_images[:count])


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """The model of a training run's checkpoint.

    Attributes:
        run: the run, loaded.
    """

    run: "LoadedRun"

    @property
    def config(self) -> ConfigDict:
        """The run's configuration."""
        return self.run.config

    @property
    def model(self) -> "EnergyModel":
        """The energy model."""
        return self.run.model

    @property
    def step(self) -> int:
        """The checkpoint's training step."""
        return self.run.step

    def with_sampling(self, settings: dict[str, object]) -> "LoadedRun":
        """The run with these settings of `config.sampling`."""
        return dataclasses.replace(self.run, config=with_sampling(self.config, settings))

    def denoising_rows(self, images: np.ndarray, sigmas: np.ndarray) -> list[dict[str, float]]:
        """`evaluation.denoising.denoising_rows` of the model: one row for each noise level."""
        import tensorflow as tf

        from tf_mdsm.evaluation.denoising import denoising_rows

        spec = tf.TensorSpec([None, *self.model.image_shape])
        denoise = tf.function(self.model.denoise, input_signature=[spec], autograph=False)
        return denoising_rows(denoise, images, sigmas)

    def samples(
        self, settings: dict[str, object], count: int, folder: str
    ) -> dict[str, np.ndarray]:
        """`samples.kept_samples` with these settings of `config.sampling`, kept in `folder`."""
        from benchmarks.samples import kept_samples

        return kept_samples(self.with_sampling(settings), count, folder)

    def outlier_auroc(self, images: np.ndarray) -> dict[str, dict[str, float]]:
        """How well the energy tells out-of-distribution images from validation images.

        Args:
            images: validation images, [N, H, W, C].

        Returns:
            kinds of out-of-distribution images to the area under the ROC curve (0.5: chance), by
            `energy` and by `gradient_norm`.
        """
        import tensorflow as tf

        from tf_mdsm.datasets.pixels import to_float
        from tf_mdsm.evaluation import out_of_distribution as ood

        spec = tf.TensorSpec([None, *self.model.image_shape])
        energy_and_score = tf.function(
            self.model.energy_and_score, input_signature=[spec], autograph=False
        )

        def scores(images: np.ndarray) -> dict[str, np.ndarray]:
            return ood.detection_scores(energy_and_score, images, self.model.noise.sigma0)

        clean = to_float(tf.constant(images)).numpy()
        kinds = {
            "uniform noise": ood.uniform_noise(clean, 0),
            "constant": ood.constant_images(clean, 0),
            "shuffled patches": ood.shuffled_patches(clean, clean.shape[1] // 4, 0),
            "upside-down": ood.upside_down(clean),
        }
        inlier_scores, areas = scores(clean), {}
        for kind, outlier_images in kinds.items():
            outlier_scores = scores(outlier_images)
            areas[kind] = {
                score: ood.detection_metrics(inlier_scores[score], outlier_scores[score])["auroc"]
                for score in ("energy", "gradient_norm")
            }
        return areas


def load_trained_model(
    config: ConfigDict, workdir: str, checkpoint: str = "newest"
) -> TrainedModel:
    """Reads the checkpoint of a run.

    Args:
        config: the run's configuration.
        workdir: the run's folder.
        checkpoint: which one: "newest" or "best".
    """
    from tf_mdsm.runs.loaded_run import load_run

    config = ConfigDict(config.to_dict())
    config.checkpoint = checkpoint
    return TrainedModel(load_run(config, workdir))
